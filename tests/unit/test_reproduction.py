"""A run is repeated or refused in a sentence, and what came out is compared by kind."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput

from tests.support.rooms import Rooms

TAGS = {
    "mlflow.source.git.commit": "a" * 40,
    "mlflow.source.git.dirty": "false",
    "kedro.python": "3.11.7",
    "kedro.command": "kedro run --pipelines training",
}
DIRTY: dict[str, str | None] = {"mlflow.source.git.dirty": "true"}

REFUSED: dict[str, tuple[str, dict[str, str | None]]] = {
    "it has the status FAILED": ("FAILED", {}),
    "it has the status RUNNING": ("RUNNING", {}),
    "without git, or before the first commit": ("FINISHED", {"mlflow.source.git.commit": None}),
    "an earlier version of the template has tracked it": ("FINISHED", {"kedro.python": None}),
    "or another program": ("FINISHED", {"kedro.command": "rm -rf /"}),
    "it has scored with version 3 of the model": ("FINISHED", {"model.version": "3"}),
    "had secrets in it, which were masked": ("FINISHED", {**DIRTY, "kedro.diff": "masked"}),
    "was longer than tracking.diff.max_kilobytes": ("FINISHED", {**DIRTY, "kedro.diff": "cut"}),
    "max_kilobytes in mlflow.yml was 0": ("FINISHED", DIRTY),
    "does not say all: kedro run --params key=********": (
        "FINISHED",
        {"kedro.command": "kedro run --params key=********"},
    ),
    "cannot carry 'x'": ("FINISHED", {"kedro.command": "kedro run  # cannot carry 'x' (object)"}),
    "it is a part of the run abc": (
        "FINISHED",
        {"kedro.namespace": "north", "mlflow.parentRunId": "abc"},
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_repeated_is_refused_with_its_reason(mlops: Rooms, reason: str) -> None:
    status, changes = REFUSED[reason]
    tags = {key: each for key, each in {**TAGS, **changes}.items() if each is not None}
    assert reason in mlops("reproduction").why_not(status, tags)


@pytest.mark.parametrize(
    "changes",
    [{}, {**DIRTY, "kedro.diff": "whole"}, {"model.version": "working-copy"}],
    ids=["clean", "dirty", "scored with the project as it is"],
)
def test_any_other_run_is_repeated(mlops: Rooms, changes: dict[str, Any]) -> None:
    assert mlops("reproduction").why_not("FINISHED", {**TAGS, **changes}) is None


SAME = {
    "machine": {"python": "3.11.7"},
    "data": {"records": "1"},
    "parameters": {"model.alpha": "10.0"},
    "metrics": {"rmse": 50.0, "empty": nan},
    "predictions": {"digest": "1"},
    "figures": {"plot.png": "1"},
}


@pytest.mark.parametrize(
    ("kind", "now", "verdict"),
    [
        ("machine", {"python": "3.11.8"}, "exactly"),
        ("data", {"records": "2"}, "no"),
        ("parameters", {"model.alpha": "10.1"}, "no"),
        ("parameters", {}, "no"),
        ("parameters", {"model.alpha": "10.0", "model.new": "1"}, "no"),
        ("metrics", {"rmse": 50.00001, "empty": nan}, "within the tolerance"),
        ("metrics", {"rmse": 50.1, "empty": nan}, "no"),
        ("metrics", {"rmse": 50.0, "empty": 0.0}, "no"),
        ("metrics", {"rmse": 50.0}, "no"),
        ("predictions", {"digest": "2"}, "within the tolerance"),
        ("predictions", {}, "within the tolerance"),
        ("figures", {"plot.png": "2"}, "within the tolerance"),
        ("figures", {"plot.png": "1"}, "exactly"),
    ],
)
def test_a_difference_decides_or_is_shown(
    mlops: Rooms, kind: str, now: dict[str, Any], verdict: str
) -> None:
    module = mlops("reproduction.differences")
    rows = module.differences(SAME, {**SAME, kind: now}, 1e-6)
    report = mlops("reproduction").Report("run", rows, 1e-6)
    assert report.verdict == verdict
    (row,) = (row for row in rows if row.kind == kind)
    shown = [line for line in module.table_of(rows) if line[-1] == "NO"]
    assert len(shown) == len(row.different)
    assert (verdict != "exactly") <= (bool(shown) or row.close > 0)


# --- what is compared of a run ---


@pytest.fixture
def place(mlops: Rooms, database: str, tmp_path: Path) -> tuple[MlflowClient, str]:
    """A client, and an experiment whose files are here."""
    server = mlops("config").ServerOptions(mlflow_tracking_uri=database)
    client: MlflowClient = mlops("backend.client").connect(server)
    return client, client.create_experiment("study", (tmp_path / "files").as_uri())


FIGURE = '<div id="{}">\n<svg>{}</svg>'


def logged(place: tuple[MlflowClient, str], figure: str = "", **tags: str) -> str:
    """Log a run as it may be, with a figure that plotly has drawn; its id."""
    client, experiment = place
    run_id = str(client.create_run(experiment, tags={"kedro.run_id": "1", **tags}).info.run_id)
    client.log_param(run_id, "alpha", "1")
    for name in ("rmse", "node_seconds/fit", "system/cpu"):
        client.log_metric(run_id, name, 2.0)
    data = [Dataset("rows", "1", "local", "{}"), Dataset("again", "h", "code", "{}")]
    client.log_inputs(run_id, [DatasetInput(each) for each in data])
    if figure:
        client.log_text(run_id, FIGURE.format(uuid4(), figure), "figures/plot.html")
    return run_id


def facts(mlops: Rooms, place: tuple[MlflowClient, str], run_id: str, folder: Path) -> Any:
    client = place[0]
    return mlops("reproduction.differences").facts_of(client, client.get_run(run_id), folder)


def test_what_is_compared_is_of_the_run_and_its_namespaces(
    mlops: Rooms, place: tuple[MlflowClient, str], tmp_path: Path
) -> None:
    measured = {"holdout.digest": "h", "predictions.digest": "p", "kedro.python": "3.11.7"}
    run_id = logged(place, "a", **measured)
    logged(place, "b", **{"kedro.namespace": "north"})
    logged(place, "c", **{"kedro.run_id": "2", "kedro.namespace": "of another run"})
    logged(place, "d")  # One of the same name that is no child: a task's.
    found = facts(mlops, place, run_id, tmp_path / "a")
    assert found["machine"]["python"] == "3.11.7"
    # What the model was measured on is an input with a name of its own, whatever MLflow calls it.
    assert found["data"] == {"rows": "1", "holdout": "h"}
    assert found["parameters"] == {"alpha": "1", "north/alpha": "1"}
    assert found["metrics"] == {"rmse": 2.0, "north/rmse": 2.0}
    assert found["predictions"] == {"digest": "p"}
    assert [*found["figures"]] == ["plot.html", "north/plot.html"]


def test_a_figure_is_the_same_but_for_what_is_drawn(
    mlops: Rooms, place: tuple[MlflowClient, str], tmp_path: Path
) -> None:
    one, same, other = (
        facts(mlops, place, logged(place, drawn), tmp_path / str(n))["figures"]["plot.html"]
        for n, drawn in enumerate("aab")
    )
    assert one == same != other
    assert facts(mlops, place, logged(place), tmp_path / "none")["figures"] == {}


def test_the_repeated_run_is_the_first_that_is_no_namespace(
    mlops: Rooms, place: tuple[MlflowClient, str]
) -> None:
    """A hook of the owner's may begin others."""
    client, experiment = place
    ask = mlops("reproduction")._only_run
    with pytest.raises(mlops("errors").TrackingError, match="was not tracked"):
        ask(client)
    for number, tags in enumerate([{"kedro.namespace": "north"}, {"is": "it"}, {"is": "later"}]):
        client.create_run(experiment, start_time=1000 + number, tags=tags)
    assert ask(client).data.tags["is"] == "it"


def test_a_run_of_a_clean_commit_has_no_diff(
    mlops: Rooms, place: tuple[MlflowClient, str], tmp_path: Path
) -> None:
    client, run_id = place[0], logged(place)
    ask = mlops("reproduction")._diff_of
    assert ask(client, run_id, tmp_path) is None
    client.log_text(run_id, "diff", mlops("tracking.capture.sources").DIFF_FILE)
    assert ask(client, run_id, tmp_path).read_text("utf-8") == "diff"
