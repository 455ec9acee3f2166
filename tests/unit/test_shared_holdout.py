"""A holdout that goes with its version: by the owner's word alone, and read without a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.pipeline import node
from pydantic import BaseModel

from tests.support.rooms import Rooms


class Bands(BaseModel):
    ages: list[int]


def evaluate(rows: pd.DataFrame, predictions: Any, bands: Bands) -> dict[str, float]:
    return {"oldest": float(rows["age"].max()), "bands": float(len(bands.ages))}


EVALUATE = node(evaluate, ["rows", "predictions", "params:bands"], "evaluation", name="measure")
ROWS = pd.DataFrame(
    {
        "age": [40, 50],
        "plan": pd.Categorical(["a", None]),
        "since": pd.to_datetime(["2020-01-01", None]).tz_localize("UTC"),
        "text": ["x", None],
    },
    index=[7, 9],
)


@pytest.fixture
def state(mlops: Rooms, tmp_path: Path) -> Any:
    return mlops("project").State(tmp_path / "state")


def shared(
    mlops: Rooms,
    state: Any,
    folder: Path,
    rows: Any = ROWS,
    share: bool | None = True,
    example: str | None = None,
    **more: Any,
) -> tuple[Path, str | None]:
    """What a run writes into the model's folder of the holdout that one of its nodes has read."""
    options = mlops("config").PromotionOptions(
        holdout="rows", predictions="predictions", share_holdout=share
    )
    model = example and mlops("config").ModelOptions(name="m", example=example)
    journal = mlops("tracking.journal").Journal(folder / "journal")
    journal.create()
    redaction = mlops("config").RedactionOptions()
    config = SimpleNamespace(model=model, redaction=redaction)
    capture = mlops("registry.holdout").HoldoutCapture(options, state)
    read = {"rows": rows, "predictions": [1, 2], "params:bands": Bands(ages=[45])} | more
    digest = None
    if rows is not None:
        tags = capture.node_called(EVALUATE, read)
        digest = tags["holdout.digest"]
        journal.append("tags", values=tags)
    (folder / "model").mkdir()
    model = mlops("tracking").PackagedModel(folder / "model", None, None)
    capture.model_packaged(config, journal, None, model)
    return folder / "model", digest


@pytest.mark.parametrize(
    ("share", "example", "goes"),
    [
        (None, "synthetic", False),
        (None, "none", False),
        (None, None, False),
        (None, "rows", True),
        (True, "synthetic", True),
        (True, None, True),
        (False, "rows", False),
    ],
)
def test_rows_go_with_the_version_by_the_owners_word_alone(
    mlops: Rooms, state: Any, tmp_path: Path, share: bool | None, example: str | None, goes: bool
) -> None:
    model, _ = shared(mlops, state, tmp_path, share=share, example=example)
    assert [path.name for path in model.iterdir()] == (["holdout"] if goes else [])


def test_it_is_the_same_holdout_elsewhere_and_never_a_pickle(
    mlops: Rooms, state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, digest = shared(mlops, state, tmp_path)
    here = mlops("registry.holdout").load_holdout(state, digest)

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is unpickled")

    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    there = mlops("registry.holdout").load_shared(model, EVALUATE)
    pd.testing.assert_frame_equal(there["rows"], here["rows"])
    # What the node asks for by its type hint, as at the run.
    assert there["params:bands"] == here["params:bands"] == Bands(ages=[45])
    assert EVALUATE.run({**there, "predictions": []}) == {"evaluation": {"oldest": 50, "bands": 1}}


@pytest.mark.parametrize(
    "rows",
    [np.arange(12.0).reshape(2, 2, 3), [{"age": 1}, {"age": None}], pd.Series([1, 2]), "text"],
    ids=["array", "list", "series", "text"],
)
def test_a_holdout_may_have_any_form_that_is_data(
    mlops: Rooms, state: Any, tmp_path: Path, rows: Any
) -> None:
    model, _ = shared(mlops, state, tmp_path, rows=rows)
    there = mlops("registry.holdout").load_shared(model, EVALUATE)["rows"]
    assert type(there) is type(rows)
    assert np.array_equal(np.asarray(there), np.asarray(rows))


class Estimator:
    """Nothing that a file without pickles holds."""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"estimator": Estimator()}, "alone: a tests.unit.test_shared_holdout.Estimator has no f"),
        (
            {"params:db_password": "CANARY"},
            "alone: 'params:db_password' looks like a secret, which has no form",
        ),
    ],
)
def test_what_cannot_go_stays_and_is_said(
    mlops: Rooms,
    state: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    more: dict[str, Any],
    said: str,
) -> None:
    model, _ = shared(mlops, state, tmp_path, **more)
    assert not list(model.iterdir())
    assert said in caplog.text


def test_a_run_that_evaluates_nothing_has_none_to_share(
    mlops: Rooms, state: Any, tmp_path: Path
) -> None:
    model, _ = shared(mlops, state, tmp_path, rows=None)
    assert not list(model.iterdir())
    assert mlops("registry.holdout").load_shared(model, EVALUATE) is None


@pytest.mark.parametrize(
    "broken", ["gone", "no JSON", "a parameter of today", "too large", "a file from elsewhere"]
)
def test_a_holdout_that_cannot_be_read_is_refused_in_a_sentence(
    mlops: Rooms, state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    model, _ = shared(mlops, state, tmp_path)
    file = model / "holdout" / "data.json"
    if broken == "too large":
        monkeypatch.setattr(mlops("registry.holdout"), "_MAX_SHARED_BYTES", 10)
    elif broken == "a file from elsewhere":
        ((model / "holdout" / "1").rename(model / "1"))
        text = file.read_text("utf-8")
        file.write_text(text.replace('"file": "1"', '"file": "../1"'), "utf-8")
        assert file.read_text("utf-8") != text
    elif broken == "gone":
        file.unlink()
    elif broken == "no JSON":
        file.write_text("{", "utf-8")
    else:
        file.write_text(file.read_text("utf-8").replace('"ages"', '"years"'), "utf-8")
    with pytest.raises(mlops("errors").TrackingError) as raised:
        mlops("registry.holdout").load_shared(model, EVALUATE)
    assert raised.value.message.startswith("The holdout that the version brings along cannot be ")
    assert "\n" not in raised.value.message
