"""The drift of a scoring run: what is counted, what breaks a rule, and what the run gets of it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms

SCORE = node(lambda rows, state: None, ["rows", "state"], "predictions", name="score")
# One row of five of a group has no number, and its predictions are others.
NUMBERS = [None if n % 10 == 3 else float(n % 100) for n in range(1000)]
BEFORE = pd.DataFrame({"x": NUMBERS, "s": ["f", "m"] * 500})
PREDICTED = pd.DataFrame({"y": [n % 100 * 2.0 + 300 * (n % 2) for n in range(1000)]})


class Scoring:
    """A run that scores with a version, whose training had `BEFORE` and predicted `PREDICTED`."""

    def __init__(self, mlops: Rooms, folder: Path, **rules: Any) -> None:
        reference, column = mlops("monitoring.reference"), mlops("model.columns").Column
        schema = mlops("model.schema").Schema([column("x", "double"), column("s", "string")])
        rows = reference.as_columns(BEFORE)
        predicted = reference.predictions_by_group(reference.as_columns(PREDICTED), rows, ["s"])
        self.version = folder / "version"
        self.version.mkdir()
        made = reference.reference_of(rows, schema, predicted, ["s"])
        made.write(self.version / reference.FILE)
        config = SimpleNamespace(
            model=SimpleNamespace(input="rows", pipeline="inference"),
            promotion=mlops("config").PromotionOptions(),
            monitoring=mlops("monitoring.options").MonitoringOptions(slices=["s"], **rules),
        )
        self.monitoring = mlops("monitoring.batches").Monitoring(config)
        self.journal = mlops("tracking.journal").Journal(folder / "journal")
        self._records = mlops("tracking.journal").all_records

    def score(
        self, rows: Any, predicted: Any, then: Any = None
    ) -> tuple[dict[str, float], str | None]:
        """Score rows, which a later node reads again as `then`; the metrics and the tag."""
        start = SimpleNamespace(scored_by=self.version, tags={"model.version": "1"})
        self.monitoring.run_starts(start)
        for read in (rows, rows if then is None else then):
            self.monitoring.node_called(SCORE, {"rows": read})
        data = {"rows": rows, "predictions": predicted}
        catalog = DataCatalog({name: MemoryDataset(each) for name, each in data.items()})
        self.monitoring.run_ends(SimpleNamespace(journal=self.journal), catalog)
        metrics: dict[str, float] = {}
        tags: dict[str, str] = {}
        for record in self._records(self.journal.folder):
            if record.kind == "metrics":
                metrics |= {name: value for name, value, _ in record.data["values"]}
            elif record.kind == "tags":
                tags |= record.data["values"]
        return metrics, tags.get("drift")

    def table(self) -> list[dict[str, str]]:
        """The rows of the table that the run gets."""
        with (self.journal.files / "drift/drift.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def scoring(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Scoring]:
    batches = mlops("monitoring.batches")
    monkeypatch.setattr(batches, "registered_pipeline", lambda *_: Pipeline([SCORE]))
    return lambda **rules: Scoring(mlops, tmp_path, **rules)


def test_the_same_rows_are_no_drift_in_any_column_or_group(
    scoring: Callable[..., Scoring],
) -> None:
    made, index = scoring(), [7] * len(BEFORE)  # Whatever the tables are labelled with.
    metrics, tag = made.score(BEFORE.set_axis(index), PREDICTED.set_axis(index))
    assert tag == "none"
    psi = {name for name in metrics if name.endswith("/psi")}
    columns = ("x", "s", "predictions/y")
    groups = ("drift/", "drift/s_f/", "drift/s_m/")
    assert psi == {f"{group}{column}/psi" for group in groups for column in columns}
    assert max(metrics[name] for name in psi) < 0.01
    assert {each["broken"] for each in made.table()} == {""}
    assert (made.journal.files / "drift/drift.png").stat().st_size > 10_000


def test_what_breaks_a_rule_is_named_with_its_group(
    scoring: Callable[..., Scoring], caplog: pytest.LogCaptureFixture
) -> None:
    made = scoring()
    rows = BEFORE.assign(x=BEFORE["x"].where(BEFORE["s"] == "m"))  # Half of them have none.
    _, tag = made.score(rows, PREDICTED.assign(y=-5.0))
    assert set(str(tag).split(", ")) >= {"x missing", "x of s=f missing", "y psi", "y of s=m psi"}
    assert "x of s=m" not in str(tag)
    broken = {(each["kind"], each["column"], each["group"]): each for each in made.table()}
    assert broken["input", "x", "s=f"]["broken"] == "missing"
    assert broken["input", "x", "s=f"]["rows"] == "500"
    assert broken["prediction", "y", ""]["kind"] == "prediction"
    assert "The data have drifted since the training (x missing" in caplog.text


def test_a_rule_of_a_column_is_its_own(scoring: Callable[..., Scoring]) -> None:
    moved = BEFORE.assign(x=BEFORE["x"] + 50)
    everywhere = {"psi": None, "out_of_range": None}
    assert scoring(columns={"x": everywhere}).score(moved, PREDICTED)[1] == "none"


ODD: dict[str, tuple[Any, Any, set[str]]] = {
    # A group's predictions are known by their place alone.
    "fewer predictions than rows": (BEFORE, PREDICTED[:700], {"predictions/y", "x", "s_f/x"}),
    "a column is gone": (BEFORE[["x"]], PREDICTED, {"predictions/y", "x"}),
    "a column of another name": (BEFORE, PREDICTED["y"].rename("other"), {"x", "s_f/x"}),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_not_there_is_not_measured(scoring: Callable[..., Scoring], case: str) -> None:
    rows, predicted, measured = ODD[case]
    metrics, tag = scoring().score(rows, predicted)
    found = {name.removeprefix("drift/").removesuffix("/psi") for name in metrics if "psi" in name}
    assert found & {"predictions/y", "s_f/predictions/y", "x", "s_f/x"} == measured
    assert tag == "none"


def test_predictions_that_are_no_table_are_said_to_be_none(
    scoring: Callable[..., Scoring], caplog: pytest.LogCaptureFixture
) -> None:
    assert scoring().score(BEFORE, {"mean": 1.0}) == ({}, None)
    assert "The drift of the data is not tracked: predictions of dict are no table" in caplog.text


def test_the_first_table_of_the_inputs_name_counts(scoring: Callable[..., Scoring]) -> None:
    """A node may change it in place, and hand it on."""
    assert scoring().score(BEFORE, PREDICTED, then=BEFORE.assign(x=-1e6))[1] == "none"


def test_a_command_knows_what_its_run_has_found(
    mlops: Rooms, scoring: Callable[..., Scoring]
) -> None:
    module = mlops("monitoring.exit_code")
    with click.Context(click.Command("run")):
        assert module.noted() == []
        scoring().score(BEFORE, PREDICTED)
        assert module.noted() == ["none"]


def test_a_version_without_a_reference_is_not_measured_and_says_so(
    scoring: Callable[..., Scoring], caplog: pytest.LogCaptureFixture
) -> None:
    made = scoring()
    (made.version / "reference.json").unlink()
    with caplog.at_level("INFO"):
        assert made.score(BEFORE, PREDICTED) == ({}, None)
    assert "version 1 was trained without monitoring" in caplog.text


@pytest.mark.parametrize(
    ("found", "code"),
    [(["none"], None), (["none", "none"], None), (["x psi"], 3), (["none", "x psi"], 3), ([], 4)],
)
def test_each_end_of_fail_on_drift_has_its_code(
    mlops: Rooms, found: list[str], code: int | None
) -> None:
    module = mlops("monitoring.exit_code")
    if code is None:
        module.require_no_drift(found)
        return
    with pytest.raises(mlops("errors").TrackingError) as ended:
        module.require_no_drift(found)
    assert ended.value.exit_code == code
