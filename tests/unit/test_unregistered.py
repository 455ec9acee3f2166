"""What a run has fitted is kept as it is, wherever its file is, and found again by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import CachedDataset, MemoryDataset, Version
from kedro.validation.exceptions import CheckFailure, DataValidationError
from kedro_datasets.json import JSONDataset
from kedro_datasets.pickle import PickleDataset

from tests.support.rooms import Rooms


def file(folder: Path) -> Any:
    return JSONDataset(filepath=str(folder / "state.json"))


def cached(folder: Path) -> Any:
    return CachedDataset(file(folder))


def versioned(folder: Path) -> Any:
    return JSONDataset(filepath=str(folder / "state.json"), version=Version(None, "2026-01-01"))


def remote(folder: Path) -> Any:
    return JSONDataset(filepath=f"memory://{folder.name}/state.json")


@pytest.mark.parametrize("make", [file, cached, versioned, remote])
def test_a_file_is_copied_under_its_own_name(
    mlops: Rooms, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    dataset = make(tmp_path)
    dataset.save({"mean": 2.0})
    mlops("model.unregistered")._copy("state", dataset, tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.name == "state.json"
    assert json.loads(kept.read_text("utf-8")) == {"mean": 2.0}


def test_a_folder_is_copied_whole(mlops: Rooms, tmp_path: Path) -> None:
    (tmp_path / "network" / "weights").mkdir(parents=True)
    (tmp_path / "network" / "weights" / "1").write_text("w", "utf-8")
    dataset = PickleDataset(filepath=str(tmp_path / "network"))
    mlops("model.unregistered")._copy("state", dataset, tmp_path / "kept")
    assert (tmp_path / "kept/network/weights/1").read_text("utf-8") == "w"


@pytest.mark.parametrize("dataset", [MemoryDataset(1), JSONDataset(filepath="/nowhere/state.json")])
def test_what_has_no_file_cannot_be_kept(mlops: Rooms, tmp_path: Path, dataset: Any) -> None:
    with pytest.raises((mlops("errors").TrackingError, OSError)):
        mlops("model.unregistered")._copy("state", dataset, tmp_path / "kept")


def test_a_reason_names_rows_on_a_screen_alone(mlops: Rooms) -> None:
    error = mlops("errors").TrackingError
    refusal = DataValidationError(
        "The data is refused",
        failures=[CheckFailure("x must be a number", column="x", check="must be a number")],
    )
    for raised, cause, kept, shown in [
        (error("No file."), None, "No file", "No file"),
        (error("x: 'Ann'."), refusal, "The data is refused (x: must be a number)", "x: 'Ann'"),
        (error("No form."), TypeError("complex"), "No form", "No form"),
        (KeyError("y"), None, "KeyError: 'y'", "KeyError: 'y'"),
    ]:
        raised.__cause__ = cause
        reason_of = mlops("model.unregistered").reason_of
        assert (reason_of(raised), reason_of(raised, with_values=True)) == (kept, shown)


@pytest.fixture
def waits(mlops: Rooms, tmp_path: Path) -> Callable[..., Any]:
    """Let a run wait, in one of the two ways."""
    state = mlops("project").State.of(tmp_path)

    def wait(run: str, run_id: str | None = None, refused: str = "", versions: Any = None) -> Any:
        folder = (state.refused if refused else state.unregistered) / run
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}", "utf-8")
        if refused:
            line = json.dumps({"what": refused, "reason": "it answers: no"})
            (folder / "server.refused").write_text(f"{line}\n", "utf-8")
            content = {"run_id": run_id, "versions": versions or {}}
            (folder / "delivery-server.json").write_text(json.dumps(content), "utf-8")
        else:
            (folder / "reason.txt").write_text("KeyError: 'y'\n\nTraceback", "utf-8")
        return state

    return wait


def test_runs_wait_whose_model_has_no_version(mlops: Rooms, waits: Callable[..., Any]) -> None:
    waits("2026-01-01")
    waits("2026-01-02", "two", "the model sales")
    waits("2026-01-03", "three", "the file figures/a.png")
    waits("2026-01-04", "four", "the model regressor", {"m-1": ["sales", "3", "champion"]})
    state = waits("2026-01-05")
    module = mlops("model.unregistered")
    delivery = mlops("tracking.shipping").Delivery(state.journals / "2026-01-05" / "delivery.json")
    delivery.run_id = "five"
    module.note_run(delivery)
    found = [(each.folder.name, each.run_id, each.reason) for each in module.waiting(state)]
    assert sorted(found, key=lambda each: each[0]) == [
        ("2026-01-01", None, "KeyError: 'y'"),
        ("2026-01-02", "two", "it answers: no"),
        ("2026-01-05", "five", "KeyError: 'y'"),
    ]


def test_a_run_that_waits_can_be_given_up(mlops: Rooms, waits: Callable[..., Any]) -> None:
    state = waits("2026-01-01")
    mlops("tracking.shipping.sync").give_up(state, "2026-01-01")
    assert mlops("model.unregistered").waiting(state) == []


def test_one_refused_run_is_opened_again_and_no_other(
    mlops: Rooms, waits: Callable[..., Any]
) -> None:
    waits("2026-01-01", "one", "the model sales")
    state = waits("2026-01-02", "two", "the model sales")
    mlops("tracking.shipping.sync").reopen(state, "2026-01-02")
    assert [each.name for each in state.refused.iterdir()] == ["2026-01-01"]
    assert [each.name for each in state.journals.iterdir()] == ["2026-01-02"]
