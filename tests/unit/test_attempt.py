"""What a worker captures of one node, and how it reaches the run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.framework import project as kedro_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node
from kedro_datasets.json import JSONDataset
from matplotlib.figure import Figure

from tests.support.rooms import Rooms
from tests.support.tracked import PIPELINE, config_of, runs_of, started, work


def draw(alpha: float) -> Any:
    figure = Figure()
    figure.gca().plot([0, alpha])
    return figure


DRAWN = Pipeline([node(draw, "params:alpha", "figure", name="draw")])


@pytest.fixture
def hooks(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook of a worker, as the project's settings have it there."""
    hook = mlops("hook").MlflowHook()
    settings = SimpleNamespace(HOOKS=(hook,), configured=True)
    monkeypatch.setattr(kedro_project, "settings", settings)
    yield hook
    for run_id in list(hook._joined):
        hook.leave(run_id)


def kit_of(mlops: Rooms, run: Any) -> Any:
    """What is sent along with a run's catalog, as it arrives; the hook is equipped with it."""
    folder = run.journal.folder
    session = {"project_path": str(run.project_path)}
    kit = mlops("tracking.process").WorkerKit(
        session, run.config.server, frozenset(), {folder.name: str(folder)}
    )
    return pickle.loads(pickle.dumps(kit))


def test_a_run_that_is_over_is_not_joined_again(
    mlops: Rooms, tmp_path: Path, database: str, hooks: Any
) -> None:
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database))
    folder, run_id = run.journal.folder, run.journal.folder.name
    kit_of(mlops, run)
    assert list(hooks._joined) == [run_id]
    hooks.leave(run_id)
    assert not hooks._joined
    packed = pickle.dumps(
        mlops("tracking.process").WorkerKit(
            {}, run.config.server, frozenset(), {run_id: str(folder)}
        )
    )
    run._lock.release()  # Its process has died; what it had written is there.
    pickle.loads(packed)
    assert not hooks._joined
    run.finish("FINISHED")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_a_worker_captured_arrives_once_its_node_has_a_result(
    elsewhere: bool, mlops: Rooms, tmp_path: Path, database: str, hooks: Any
) -> None:
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database), DRAWN)
    folder, run_id = run.journal.folder, run.journal.folder.name
    kit = kit_of(mlops, run)
    if elsewhere:
        hooks.leave(run_id)
        kit.__dict__["journals"] = {run_id: "/on/another/machine/.kedro_mlflow/journal/x"}
        hooks.equip(kit)
    (each,) = DRAWN.nodes
    for attempt in range(2):
        with hooks.apart(run_id) as captured:
            work(hooks._find(run_id), each, {"params:alpha": 0.5}, {"figure": draw(0.5)})
            found = captured(each, DataCatalog())
        assert len(list(folder.glob("*.jsonl"))) == 1  # Only the run's own process writes there.
        if attempt:  # The first worker has died meanwhile.
            run.take(pickle.loads(pickle.dumps(found)))
    assert bool(found.files) is elsewhere
    run.finish("FINISHED")
    (logged,) = runs_of(database)
    assert logged.data.params == {"alpha": "0.5"}
    client = mlops("backend.client").connect(run.config.server)
    run_id = logged.info.run_id
    assert [file.path for file in client.list_artifacts(run_id, "figures")] == [
        "figures/figure.png"
    ]
    record = json.loads(Path(client.download_artifacts(run_id, "kedro/run.json")).read_text())
    assert [found["name"] for found in record["nodes"]] == ["draw"]
    history = client.get_metric_history(run_id, "node_seconds/draw")
    assert len(history) == 1


@pytest.mark.parametrize("answers", [True, False])
def test_a_file_above_the_limits_is_uploaded_or_named(
    answers: bool,
    mlops: Rooms,
    tmp_path: Path,
    database: str,
    hooks: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = {"artifacts": {"max_megabytes": 0.000001}}
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database, tracking=limits), DRAWN)
    attempt = run.attempt()
    (each,) = DRAWN.nodes
    work(attempt, each, {"params:alpha": 0.5}, {"figure": draw(0.5)})
    uploaded: list[tuple[str, str]] = []

    def upload(path: str, folder: str, namespace: str) -> None:
        if not answers:
            raise ConnectionError
        uploaded.append((Path(path).name, folder))

    captured = mlops("tracking.attempt").captured_elsewhere(attempt, each, DataCatalog(), upload)
    assert not captured.files
    run.take(captured)
    run.finish("FINISHED")
    assert uploaded == ([("figure.png", "figures")] if answers else [])
    assert (
        "no more than tracking.artifacts in mlflow.yml allows for a node: figure.png" in caplog.text
    ) is not answers


def test_files_of_data_sets_and_the_holdout_are_sent(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    options = {"artifacts": {"datasets": ["score"]}}
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database, tracking=options))
    attempt, each = run.attempt(), PIPELINE.nodes[0]
    catalog = DataCatalog({"score": JSONDataset(filepath=f"{tmp_path}/there/score.json")})
    catalog.save("score", {"rmse": 1.0})
    work(attempt, each, {"params:alpha": 0.5}, {"score": {"rmse": 1.0}}, catalog)
    holdout = tmp_path / ".kedro_mlflow" / "holdouts" / "abc.pickle"
    holdout.parent.mkdir()
    holdout.write_bytes(b"rows")
    captured = mlops("tracking.attempt").captured_elsewhere(attempt, each, catalog, print)
    assert captured.kept == ["score"]
    assert not holdout.exists()
    run.take(captured)
    assert holdout.read_bytes() == b"rows"
    (tmp_path / "there" / "score.json").unlink()  # It is not on this machine.
    run.complete(catalog)
    run.finish("FINISHED")
    (logged,) = runs_of(database)
    client = mlops("backend.client").connect(run.config.server)
    assert [file.path for file in client.list_artifacts(logged.info.run_id, "data")] == [
        "data/score"
    ]
