"""Every command and run asks MLflow where mlflow.yml says: from any folder, beside any database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from tests.support.little import CONFIG, little, predicted
from tests.support.machine import free_port
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, copy_of, listening
from tests.support.shared import shared
from tests.support.tiny import SESSION, runs

SCORE = SESSION.replace("Path.cwd()", "Path(sys.argv[1])") + (
    "with KedroSession.create(project_path=sys.argv[1], env=sys.argv[2] or None) as session:\n"
    "    session.run(pipeline_names=['inference'])\n"
)


@dataclass(frozen=True)
class Place:
    """Where mlflow.yml lets a project track; a server's address is that of the tests' own."""

    tracking: str
    registry: str = "null"
    env: str = ""


PLACES = {
    "a registry of its own": Place("sqlite:///runs.db", "sqlite:///models.db"),
    "a Kedro environment": Place("sqlite:///staging.db", env="staging"),
    "a server": Place("SERVER"),
    "a server, a database for models": Place("SERVER", "sqlite:///models.db"),
    # What the others have, but for a database of runs: for each commit.
    "an environment's server": Place("SERVER", "sqlite:///models.db", env="staging"),
}


@pytest.fixture(scope="module")
def decoy(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a champion of the same name, which predicts something else."""

    def train(folder: Path) -> None:
        little(copy_of(rendered, folder), mean=1000).kedro("run", "--pipelines", "training")

    return shared(tmp_path_factory, "decoy", train) / "project/mlflow.db"


@dataclass(frozen=True)
class Placed:
    """A project at a place, from which nothing is started in its own folder."""

    project: Project
    client: MlflowClient
    name: str
    env: tuple[str, ...]


@pytest.fixture
def placed(
    project: Project, server: str, decoy: Path, request: pytest.FixtureRequest
) -> Iterator[Placed]:
    """The little project; a decoy lies where MLflow would look that is told nothing."""
    place = PLACES[request.param]
    name = re.sub(r"\W+", "_", request.node.name)
    uris = [uri.replace("SERVER", server) for uri in (place.tracking, place.registry)]
    addresses = "server:\n  mlflow_tracking_uri: {}\n  mlflow_registry_uri: {}\n".format(*uris)
    little(project)
    config = CONFIG.partition("tracking:")[2].replace(PACKAGE, name)
    if place.env:
        (project.folder / "conf" / place.env).mkdir(exist_ok=True)
        project.write(f"conf/{place.env}/mlflow.yml", addresses)
        addresses = "server:\n  mlflow_tracking_uri: http://127.0.0.1:9\n"  # Nothing is there.
    project.write("conf/base/mlflow.yml", f"{addresses}tracking:{config}")
    tracking, registry = (uri.replace("///", f"///{project.folder}/") for uri in uris)
    client = MlflowClient(tracking, tracking if registry == "null" else registry)
    decoys = [project.folder / cwd / "mlflow.db" for cwd in ("notebooks", "../outside")]
    for path in decoys:
        path.parent.mkdir()
        shutil.copy(decoy, path)
    yield Placed(project, client, name, ("--env", place.env) if place.env else ())
    for path in decoys:
        assert path.read_bytes() == decoy.read_bytes()
        path.unlink()


@pytest.mark.parametrize(
    "placed",
    [
        *(pytest.param(name, marks=weekly) for name in [*PLACES][:-1]),
        "an environment's server",
    ],
    indirect=True,
)
def test_all_commands_and_runs_find_the_model_there(placed: Placed) -> None:
    project, client, name, env = placed.project, placed.client, placed.name, placed.env
    for command in (
        ("run", "--pipelines", "training"),
        ("run", "--pipelines", "inference"),
        ("mlflow", "promote", "--version", "1"),
        ("mlflow", "doctor"),
        ("mlflow", "sync"),
    ):
        project.kedro(*command, *env, cwd="notebooks")
    assert [row.split(",")[:2] for row in predicted(project)] == [["12.0", "1"], ["22.0", "1"]]
    (project.folder / "data/predictions.csv").unlink()
    project.write("score.py", SCORE)
    arguments = (str(project.folder / "score.py"), str(project.folder), "".join(env[1:]))
    process = project.fork("python", *arguments, cwd="../outside")
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert [row.split(",")[:2] for row in predicted(project)] == [["12.0", "1"], ["22.0", "1"]]
    assert [run.data.tags["kedro.pipelines"] for run in runs(client, name)] == [
        "inference",
        "inference",
        "training",
    ]
    assert {run.info.status for run in runs(client, name)} == {"FINISHED"}
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert version.run_id == runs(client, name)[-1].info.run_id


@pytest.mark.parametrize("placed", ["an environment's server"], indirect=True)
def test_the_model_that_is_served_is_fetched_there(placed: Placed) -> None:
    project, env = placed.project, placed.env
    project.kedro("run", "--pipelines", "training", *env, cwd="notebooks")
    url = f"http://127.0.0.1:{(port := free_port())}"
    serve = ("kedro", "mlflow", "serve", "--port", str(port), *env)
    with listening(project, *serve, url=f"{url}/ping", cwd="notebooks"):
        body: Any = {"dataframe_split": {"columns": ["x"], "data": [[10.0]]}}
        answer = requests.post(f"{url}/invocations", json=body, timeout=60)
    assert answer.json()["predictions"] == [{"prediction": 12.0}]


def test_a_run_waits_for_its_own_environment(project: Project) -> None:
    little(project)
    (project.folder / "conf/staging").mkdir(exist_ok=True)
    addresses = "server:\n  mlflow_tracking_uri: {}\n"
    project.write("conf/staging/mlflow.yml", addresses.format("http://127.0.0.1:9"))
    staging = ("--env", "staging")
    screen = " ".join(project.kedro("run", "--pipelines", "training", *staging).stdout.split())
    assert "`uv run kedro mlflow sync --env staging` delivers it" in screen
    project.kedro("run", "--pipelines", "training")
    assert len(runs(project.client, PACKAGE)) == 1
    screen = " ".join(project.kedro("mlflow", "sync").stdout.split())
    assert "of another environment, `uv run kedro mlflow sync --env staging` delivers it" in screen
    assert "Every run is delivered." not in screen
    project.write("conf/staging/mlflow.yml", addresses.format("sqlite:///staging.db"))
    assert "Delivered 1 runs." in project.kedro("mlflow", "sync", *staging).stdout
    client = MlflowClient(f"sqlite:///{project.folder}/staging.db")
    assert len(runs(client, PACKAGE)) == 1
    assert len(runs(project.client, PACKAGE)) == 1
    assert "Every run is delivered." in project.kedro("mlflow", "sync").stdout


def test_a_registry_that_cannot_read_the_models_files_is_named_before_the_first_node(
    project: Project, server: str
) -> None:
    little(project)
    addresses = f"  mlflow_tracking_uri: sqlite:///runs.db\n  mlflow_registry_uri: {server}\n"
    config = CONFIG.partition("tracking:")[2].replace(PACKAGE, "out_of_reach")
    project.write("conf/base/mlflow.yml", f"server:\n{addresses}tracking:{config}")
    screen = " ".join(project.kedro("run", "--pipelines", "training").stdout.split())
    warning, _, end = screen.partition(f"The registry at {server} reads no files of this machine")
    assert "Tracked by MLflow" not in warning
    assert "it will refuse the version. Track on that server as well" in end
    assert "refuses the model out_of_reach for good" in end
    assert MlflowClient(server).search_model_versions("name = 'out_of_reach'") == []
