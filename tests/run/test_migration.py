"""A laptop's runs, models and versions move to the server: all of it, once, whatever happens."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support import laptop, rooms
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project, tracking_server
from tests.support.proxy import kill_before, proxy_of

pytestmark = pytest.mark.strays("what is migrated was tracked elsewhere, in part by hand")

MOVE = ("mlflow", "sync", "--from", "sqlite:///mlflow.db")


@dataclass(frozen=True)
class Moved:
    """A project, the server that its runs have gone to, and what the screen showed."""

    project: Project
    ids: dict[str, str]
    url: str
    folder: Path
    screen: str
    rows: dict[str, int]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.url)

    def run(self, name: str) -> Run:
        """The run of this name at the server."""
        (found,) = [run for run in self.project.runs(self.client) if run.info.run_name == name]
        # A search leaves the models that it has read out.
        return self.client.get_run(found.info.run_id)


@pytest.fixture(scope="module")
def furnished(
    judged_runs: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dict[str, str]]:
    """A project with runs as an update to a server's leaves it, with more in its database.

    Of its two models one is enough: their many files take most of a move's time.
    """
    folder = tmp_path_factory.mktemp("laptop")
    project = Project(folder / "project", judged_runs.environment)
    shutil.copytree(judged_runs.folder, project.folder)
    migration = f"src/{PACKAGE}/mlops/migration"
    shutil.copytree(
        rooms.SOURCE / rooms.PACKAGE / "mlops/migration",
        project.folder / migration,
        dirs_exist_ok=True,
    )
    project.kedro("run", "--pipelines", "inference")
    client = project.client
    second = str(client.get_model_version(PACKAGE, "2").run_id)
    outputs = client.get_run(second).outputs
    client.delete_model_version(PACKAGE, "2")
    client.delete_run(second)
    for each in outputs.model_outputs if outputs else ():
        client.delete_logged_model(each.model_id)
    return project, laptop.furnish(client, folder)


CALLS = (
    "POST /api/2.0/mlflow/runs/log-batch",
    "PUT /api/2.0/mlflow-artifacts/",
    "PATCH /api/2.0/mlflow/logged-models/",
    "POST /api/2.0/mlflow/runs/update",
    "POST /v1/traces",
    "POST /api/2.0/mlflow/model-versions/create",
    "DELETE /api/2.0/mlflow/model-versions/delete",
    "POST /api/2.0/mlflow/registered-models/alias",
)


@pytest.fixture(scope="module")
def moved(
    furnished: tuple[Project, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Moved]:
    """All of it on a server on which somebody else has a model of the same name.

    The move is killed again and again: all that the tests look at is as if it had not been.
    """
    project, ids = furnished
    folder = tmp_path_factory.mktemp("server")
    with tracking_server(project, folder) as url, proxy_of(url) as proxy:
        laptop.settle(MlflowClient(url))
        start = partial(project.fork, "kedro", *MOVE, env={"MLFLOW_TRACKING_URI": proxy.url})
        for call in CALLS if IS_WEEKLY else CALLS[::6]:
            kill_before(call, proxy, start)
        screen = move(project, url)
        yield Moved(project, ids, url, folder, screen, rows(folder))


def move(project: Project, target: str, code: int = 0) -> str:
    """Move, to the end; what the screen shows."""
    result = project.kedro(*MOVE, env={"MLFLOW_TRACKING_URI": target}, code=code)
    return result.stdout + result.stderr


def rows(folder: Path) -> dict[str, int]:
    """How many rows each table of a server's database has."""
    with sqlite3.connect(folder / "server.db") as database:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [name for (name,) in database.execute(query)]
        return {
            name: database.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]
            for name in tables
        }


def test_the_report_counts_what_was_compared(moved: Moved) -> None:
    assert "2 experiments, 5 runs, " in moved.screen
    assert "Not copied: 2 runs that have not ended." in moved.screen
    assert moved.screen.rstrip().endswith("All the same.")


def test_runs_that_are_deleted_or_not_at_their_end_stay(moved: Moved) -> None:
    names = [run.info.run_name for run in moved.project.runs(moved.client)]
    assert names.count("training") == 1
    assert not {"deleted", "still running", "child of one that runs"} & set(names)


def test_a_run_is_as_it_was(moved: Moved) -> None:
    before, after = moved.project.client.get_run(moved.ids["parent"]), moved.run("parent")
    assert before.info.start_time == after.info.start_time
    assert before.info.end_time == after.info.end_time
    assert before.data.params == after.data.params
    assert len(after.data.params) == 150
    assert before.inputs is not None
    assert after.inputs is not None
    assert before.inputs.dataset_inputs == after.inputs.dataset_inputs
    for key in ("loss", "odd", "rmse"):
        values = [
            [(metric.step, metric.timestamp, str(metric.value)) for metric in history]
            for history in (
                moved.project.client.get_metric_history(before.info.run_id, key),
                moved.client.get_metric_history(after.info.run_id, key),
            )
        ]
        assert values[0] == values[1]
    assert len(moved.client.get_metric_history(after.info.run_id, "loss")) == laptop.STEPS
    files = moved.client.list_artifacts(after.info.run_id, "deep/er")
    assert [(file.path, file.file_size) for file in files] == [("deep/er/weights.bin", 1_280_000)]


def test_a_child_has_its_parent_and_its_end(moved: Moved) -> None:
    child = moved.run("child")
    assert child.data.tags["mlflow.parentRunId"] == moved.run("parent").info.run_id
    assert child.data.tags["note"] == "näher & <so>"
    assert (child.info.status, moved.run("killed").info.status) == ("FAILED", "KILLED")


def test_an_experiment_keeps_its_tags(moved: Moved) -> None:
    experiment = moved.client.get_experiment_by_name(laptop.EXPERIMENT)
    assert experiment is not None
    assert experiment.tags["team"] == "progression"


def test_a_logged_model_is_as_it_was_and_names_its_new_run(moved: Moved) -> None:
    parent = moved.run("parent")
    assert parent.outputs is not None
    (output,) = parent.outputs.model_outputs
    model = moved.client.get_logged_model(output.model_id)
    assert (output.step, model.source_run_id) == (7, parent.info.run_id)
    assert (model.params, model.tags["stage"], model.model_type) == (
        {"alpha": "0.1"},
        "try",
        "linear",
    )
    assert model.metrics
    (metric,) = model.metrics
    assert (metric.key, metric.value, metric.dataset_name) == ("rmse", 50.0, "patients")
    mlmodel = next(moved.folder.glob(f"artifacts/**/{model.model_id}/artifacts/MLmodel"))
    assert parent.info.run_id in mlmodel.read_text()
    assert moved.ids["model"] not in mlmodel.read_text()
    killed = moved.run("killed")
    assert killed.inputs is not None
    assert [each.model_id for each in killed.inputs.model_inputs] == [model.model_id]


def test_versions_keep_their_numbers_and_aliases(moved: Moved) -> None:
    versions = moved.client.search_model_versions("name = 'gapped'")
    assert sorted(int(version.version) for version in versions) == [2, 3]
    champion = moved.client.get_model_version_by_alias("gapped", "champion")
    assert (int(champion.version), champion.description) == (2, "Good.")
    assert champion.tags["checked"] == "yes"
    assert champion.run_id == moved.run("parent").info.run_id
    registered = moved.client.get_registered_model("gapped")
    assert (registered.description, registered.tags) == ("Has lost a version.", {"owner": "eve"})
    of_package = moved.client.get_registered_model(PACKAGE).aliases
    assert {name: int(number) for name, number in of_package.items()} == {"champion": 1}


def test_somebody_elses_champion_stays_and_is_told_of(moved: Moved) -> None:
    versions = moved.client.search_model_versions(f"name = '{laptop.SHARED}'")
    assert sorted(int(version.version) for version in versions) == [1, 2, 3]
    aliases = moved.client.get_registered_model(laptop.SHARED).aliases
    assert {name: int(number) for name, number in aliases.items()} == {
        "champion": 1,
        "candidate": 2,
    }
    assert f"{laptop.SHARED} has the alias champion already, on version 1" in moved.screen


def test_a_timeline_belongs_to_its_run(moved: Moved) -> None:
    experiment = moved.client.get_experiment_by_name(PACKAGE)
    assert experiment is not None
    traces = moved.client.search_traces(locations=[experiment.experiment_id])
    of_runs = {trace.info.trace_metadata["mlflow.sourceRun"] for trace in traces}
    runs = moved.client.search_runs([experiment.experiment_id])
    assert of_runs == {run.info.run_id for run in runs}
    assert all(trace.data.spans for trace in traces)


def test_the_champion_that_has_moved_scores_a_batch(moved: Moved, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", moved.project.environment)
    shutil.copytree(moved.project.folder, project.folder)
    (project.folder / "mlflow.db").unlink()
    predictions = project.folder / "data/predictions.csv"
    before = pd.read_csv(predictions)
    predictions.unlink()
    on_server = {"MLFLOW_TRACKING_URI": moved.url}
    project.kedro("run", "--pipelines", "inference", env=on_server)
    after = pd.read_csv(predictions)
    assert after["prediction"].equals(before["prediction"])
    # The run has a new id there.
    champion = MlflowClient(moved.url).get_model_version_by_alias(PACKAGE, "champion")
    assert set(after["model_run_id"]) == {champion.run_id} != set(before["model_run_id"])


def test_moving_twice_changes_nothing_and_finds_a_file_that_was_damaged(moved: Moved) -> None:
    before = rows(moved.folder)
    file = next(moved.folder.glob("artifacts/**/deep/er/weights.bin"))
    good = file.read_bytes()
    file.write_bytes(good[:-1] + b"?")
    try:
        screen = move(moved.project, moved.url, code=1)
    finally:
        file.write_bytes(good)
    assert screen.count("has another content") == 1
    assert "the file deep/er/weights.bin has another content" in screen
    assert "All the same." not in screen
    assert "Copied" not in screen
    assert rows(moved.folder) == before


@weekly
def test_a_move_that_is_not_killed_has_the_same_rows(moved: Moved, tmp_path: Path) -> None:
    with tracking_server(moved.project, tmp_path) as url:
        laptop.settle(MlflowClient(url))
        screen = move(moved.project, url)
    assert screen.rstrip().endswith("All the same.")
    assert rows(tmp_path) == moved.rows


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("sqlite:///typo.db", "sqlite:///mlflow.db", "there is no database"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db", "tracks in sqlite:"),
        ("sqlite:///mlflow.db", "http://eve:CANARY@127.0.0.1:1", "does not answer"),
    ],
)
def test_a_move_that_cannot_be_is_refused_in_a_sentence(
    furnished: tuple[Project, dict[str, str]],
    source: str,
    target: str,
    message: str,
) -> None:
    project, _ = furnished
    impatient = {"MLFLOW_TRACKING_URI": target, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    result = project.kedro(*MOVE[:-1], source, env=impatient, code=1)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "CANARY" not in result.stdout + result.stderr
    assert not (project.folder / "typo.db").exists()
