"""Predictions beside the truth, row by row, and what a version's judgements come to by date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.support.rooms import Rooms, room

PREDICTED = pd.DataFrame(
    {"key": [1, 2, 3], "y": [10.0, 20.0, 30.0], "model_version": 1, "model_run_id": "a"}
)
TRUTH = pd.DataFrame({"key": [3, 1, 2], "y": [31.0, 11.0, 21.0], "sex": ["f", "m", "f"]})

# What is joined how, and the pairs of truth and prediction that come of it.
Pairs = list[tuple[float, float | None]]
JOINED: dict[str, tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...], Pairs]] = {
    "by key": (PREDICTED, TRUTH, ("key",), [(31, 30), (11, 10), (21, 20)]),
    "by order": (PREDICTED, TRUTH, (), [(31, 10), (11, 20), (21, 30)]),
    "by order, whatever the index": (
        PREDICTED.set_axis([2, 0, 1]),
        TRUTH.set_axis([7, 7, 9]),
        (),
        [(31, 10), (11, 20), (21, 30)],
    ),
    "a part is known": (PREDICTED, TRUTH[:1], ("key",), [(31, 30)]),
    "a key is missing on both sides": (
        PREDICTED.assign(key=[None, None, 3]),
        TRUTH.assign(key=[3, None, None]),
        ("key",),
        [(31, 30)],
    ),
    "the truth was added to a batch": (
        PREDICTED.drop(columns="y"),
        PREDICTED.assign(y=[11.0, 21.0, 31.0], model_version=7),
        ("key",),
        [(11, None), (21, None), (31, None)],
    ),
}


@pytest.mark.parametrize("case", JOINED)
def test_each_prediction_gets_its_own_truth(case: str) -> None:
    predictions, truth, on, pairs = JOINED[case]
    joined, columns = room("commands.judge")._joined(predictions, truth, on)
    assert columns == [name for name in ("key", "y") if name in predictions and name not in on]
    assert [*joined["model_version"]] == [1] * len(pairs)
    assert "model_run_id" not in joined
    found = joined.get("predicted y", pd.Series([None] * len(joined)))
    assert list(zip(joined["y"], found, strict=True)) == pairs


REFUSED: dict[str, tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]] = {
    "--predictions has 3 rows and --truth 1": (PREDICTED, TRUTH[:1], ()),
    "--truth has no column id": (PREDICTED.assign(id=[1, 2, 3]), TRUTH, ("id",)),
    "--predictions has no column id": (PREDICTED, TRUTH.assign(id=[1, 2, 3]), ("id",)),
    "--truth has several rows of the same key": (PREDICTED, TRUTH.assign(key=1), ("key",)),
    "--predictions has several rows of": (PREDICTED.assign(key=1), TRUTH, ("key",)),
    "has no column model_version": (PREDICTED[["key", "y"]], TRUTH, ("key",)),
    "No row of --predictions has its truth": (PREDICTED, TRUTH.assign(key=[7, 8, 9]), ("key",)),
    "cannot be joined: .* str and int64 columns for key 'key'": (
        PREDICTED,
        TRUTH.assign(key=[*"312"]),
        ("key",),
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_joined_is_refused_in_a_sentence(said: str) -> None:
    with pytest.raises(room("errors").TrackingError, match=said):
        room("commands.judge")._joined(*REFUSED[said])


def test_predictions_without_truth_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    room("commands.judge")._joined(PREDICTED, TRUTH[:1], ("key",))
    assert capsys.readouterr().out == "2 of 3 predictions have no truth yet.\n"


# --- by date ---


@pytest.fixture
def judged(mlops: Rooms, database: str) -> Callable[..., list[Any]]:
    """Log judgements, and read those of version 1, of run `a`, in the order of their dates."""
    module = mlops("monitoring.judgements")
    server = mlops("config").ServerOptions(mlflow_tracking_uri=database)
    client = mlops("backend.client").connect(server)
    experiment = client.create_experiment("judged")

    def log(*runs: tuple[dict[str, str], dict[str, float]]) -> list[Any]:
        for tags, metrics in runs:
            run_id = client.create_run(experiment, tags=tags).info.run_id
            for name, value in metrics.items():
                client.log_metric(run_id, name, value)
        version = SimpleNamespace(version="1", run_id="a")
        found: list[Any] = module.judgements_of(client, experiment, version)
        return found

    return log


def tags_of(day: str = "", rows: int = 5, version: str = "1", run_id: str = "a") -> dict[str, str]:
    about = {"judge.rows": str(rows), "model.version": version, "model.run_id": run_id}
    return about | ({"judge.date": day} if day else {})


def test_they_are_of_this_version_alone_the_earliest_date_first(
    judged: Callable[..., list[Any]],
) -> None:
    scored = {name: each for name, each in tags_of().items() if name != "judge.rows"}
    found = judged(
        (tags_of("2026-02-01"), {"truth/rmse": 2.0, "promised/rmse": 1.0}),
        (tags_of("2026-01-01", rows=7), {"truth/rmse": 3.0, "truth/sex_1/rmse": 4.0}),
        (tags_of("2026-01-05", version="2"), {"truth/rmse": 9.0}),
        (tags_of("2026-01-05", run_id="b"), {"truth/rmse": 9.0}),
        (scored, {"truth/rmse": 9.0}),
    )
    assert [
        (each.date, each.rows, each.group, each.metric, each.truth, each.promised) for each in found
    ] == [
        (date(2026, 1, 1), 7, "", "rmse", 3.0, None),
        (date(2026, 1, 1), 7, "sex_1", "rmse", 4.0, None),
        (date(2026, 2, 1), 5, "", "rmse", 2.0, 1.0),
    ]


def test_one_without_a_date_is_of_its_own_day_and_all_pages_are_read(
    mlops: Rooms, judged: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("backend.client"), "_PAGE", 1)
    found = judged(*[(tags_of(day), {"truth/rmse": 1.0}) for day in ("", "2000-01-01", "")])
    assert len(found) == 3
    assert found[0].date == date(2000, 1, 1)
    assert found[1].date == found[2].date > date(2026, 1, 1)


def test_the_screen_has_the_newest_six_and_a_gap_where_nothing_was_measured(
    tmp_path: Path,
) -> None:
    module = room("monitoring.judgements")
    found = [
        module.Measured(date(2026, 1, day), f"run {day}", 5, group, "rmse", float(day), 1.0)
        for day in range(1, 9)
        for group in ("", "sex_1")
        if (day, group) != (8, "sex_1")
    ]
    heading, of_all, of_group = (line.split() for line in module.table_of(found))
    assert heading == ["Date", *(f"2026-01-0{day}" for day in range(3, 9))]
    assert of_all == ["rmse", *"345678"]
    assert of_group == ["rmse", "sex_1", *"34567"]
    module.write_judgements(found, tmp_path)
    written = pd.read_csv(tmp_path / "judgements.csv", keep_default_na=False)
    assert [*written["truth"]] == [each.truth for each in found]
    assert [*written["group"]] == [each.group for each in found]
