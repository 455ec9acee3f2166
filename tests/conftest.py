"""What every test may ask for: the template as copier sees it, and projects rendered from it.

`rendered` is the default project, installed; `trained` the same with runs in it. Both are made
once for all processes, and a test that changes a project gets a copy: `project`,
`project_with_runs`, `slow`.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from tests.support import answers, forks, tables
from tests.support.answers import Render
from tests.support.guarded import GuardedServer, guarded_server
from tests.support.little import judged
from tests.support.project import (
    PACKAGE,
    Project,
    Trained,
    copy_of,
    files_of,
    install,
    share_compiled,
    tracking_server,
)
from tests.support.proxy import Proxy, proxy_of
from tests.support.shared import shared
from tests.support.slow import REGISTRY
from tests.support.tiny import quick_figures

pytest_plugins = [
    "tests.support.profiles",
    "tests.support.scheduling",
    "tests.support.strays",
]

# A shell lets what it runs in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

forks.wait_for_no_disk()

# Projects get the Python of the tests, whichever uv would find first.
os.environ.setdefault("UV_PYTHON", sys.executable)

# Where it is set, a run fails whose tracking data do not arrive.
os.environ.pop("CI", None)


@pytest.fixture(autouse=True)
def environment_stays() -> Iterator[None]:
    """Put back what tells MLflow something, as code that a test calls in this process may set.

    MLflow's getter is no use for that: it returns a default where nothing was set.
    """
    before = {name: os.environ[name] for name in os.environ if name.startswith("MLFLOW_")}
    os.umask(mask := os.umask(0))
    yield
    os.umask(mask)
    gc.unfreeze()  # What the hook has frozen it counts each time, for as long as that is much.
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)
    if address := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        vars(address)["_tracking_uri"] = None


@pytest.fixture(scope="session", autouse=True)
def folders_of_projects_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests of projects have their folders.

    Beside those of this session they would remove what earlier ones have left, for minutes.
    """
    folder = tmp_path_factory.mktemp("of-projects-tests")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands in the working tree, in a folder without git."""
    return answers.copy_template(tmp_path_factory.mktemp("template") / "copier-kedro-mlflow")


@pytest.fixture
def render(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a project from these answers and defaults for the others."""

    def into_new_folder(**given: str) -> Path:
        return answers.render(template, tmp_path_factory.mktemp("rendered") / "project", given)

    return into_new_folder


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The default project, installed: all processes share it, and none changes it."""

    def make(folder: Path) -> None:
        project = install(template, folder)
        # Each training draws two figures, one of shuffles.
        project.edit("conf/base/parameters.yml", "repeats: 10", "repeats: 2")
        quick_figures(project)
        project.kedro("--version")  # Or each process would compile what it imports.

    tables.offer(shared(tmp_path_factory, "tables", tables.make))
    folder = shared(tmp_path_factory, "rendered", make)
    return Project(folder / "project", folder / "project/.venv")


@pytest.fixture(scope="session")
def installed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project for PostgreSQL and S3, installed, with what all backends and services need.

    But for Azure ML, whose plugin wants its own versions.
    """

    def make(folder: Path) -> None:
        choice = {"backend_store": "postgresql", "artifact_store": "s3"}
        project = install(template, folder, tracking_preset="server", **choice)
        other = {"tracking_preset": "server", "backend_store": "mysql", "artifact_store": "azure"}
        rendered = answers.render(template, folder / "other", other)
        server = "deploy/tracking-server/requirements.txt"
        wanted = [project.folder / server, rendered / server]
        for preset in ("databricks", "sagemaker"):
            sheet = answers.coherent({"tracking_preset": preset})
            wanted.append(answers.render(template, folder / preset, sheet) / "pyproject.toml")
        command: list[str | Path] = ["uv", "pip", "install", "--quiet"]
        command += ["--python", project.environment]
        for path in wanted:
            command += ["--requirements", path]
        subprocess.run(command, check=True)
        share_compiled(project.environment)

    folder = shared(tmp_path_factory, "backends", make)
    return Project(folder / "project", folder / "project/.venv")


@pytest.fixture(scope="session")
def trained(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained, trained again, a batch scored: all processes share it, and none changes it."""
    folder = shared(tmp_path_factory, "trained", partial(train, rendered))
    project = Project(folder / "project", rendered.environment)
    first, second, scoring = (path.read_text("utf-8") for path in sorted(folder.glob("screen-*")))
    files = frozenset((folder / "model-files").read_text("utf-8").splitlines())
    return Trained(project, first, second, scoring, files)


def train(rendered: Project, folder: Path) -> None:
    """Train, as from the shell, train again, score; the screen of each is kept."""
    project = copy_of(rendered, folder)
    for number, arguments in enumerate([(), (), ("--pipelines", "inference")]):
        result = project.kedro("run", *arguments) if number else project.run("kedro", "run")
        (folder / f"screen-{number}").write_text(result.stdout + result.stderr, "utf-8")
        if number == 0:
            model = files_of(project, "champion")
            names = [path.relative_to(model).as_posix() for path in model.rglob("*")]
            (folder / "model-files").write_text("\n".join(names))


@pytest.fixture(scope="session")
def rows(trained: Trained) -> pd.DataFrame:
    """The rows to score."""
    return pd.read_csv(trained.project.folder / "data/05_model_input/instances.csv")


@pytest.fixture(scope="session")
def scored(trained: Trained) -> list[float]:
    """What batch scoring has predicted for these rows."""
    path = trained.project.folder / "data/07_model_output/predictions.csv"
    return list(pd.read_csv(path)["progression"])


@pytest.fixture(scope="session")
def guarded(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One tracking server that asks who you are, for all tests."""
    with guarded_server(rendered, tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture
def project(rendered: Project, tmp_path: Path) -> Project:
    """The default project for a test to change, with no run in it."""
    return copy_of(rendered, tmp_path)


@pytest.fixture
def project_with_runs(trained: Trained, tmp_path: Path) -> Project:
    """The trained project for a test to change; its models lie where the original has them."""
    folder = tmp_path / "project"
    shutil.copytree(trained.project.folder, folder)
    return Project(folder, trained.project.environment)


@pytest.fixture(scope="session")
def judged_runs(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the little model that is judged, trained twice; none changes it."""

    def train_twice(folder: Path) -> None:
        project = judged(copy_of(rendered, folder))
        for _ in range(2):
            project.kedro("run")

    folder = shared(tmp_path_factory, "judged", train_twice)
    return Project(folder / "project", rendered.environment)


@pytest.fixture
def little_with_runs(judged_runs: Project, tmp_path: Path) -> Project:
    """The same for a test to change; its models lie where the original has them."""
    shutil.copytree(judged_runs.folder, tmp_path / "project")
    return Project(tmp_path / "project", judged_runs.environment)


@pytest.fixture
def slow(project: Project) -> Project:
    """A project whose run takes two seconds and keeps a metric every tenth of one."""
    project.write(f"src/{PACKAGE}/pipeline_registry.py", REGISTRY)
    project.write("conf/base/parameters.yml", "seconds: 0.1\n")
    start, _, rest = (
        (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8").partition("\nmodel:")
    )
    rest = rest[rest.index("\nmirrors:") :]
    project.write("conf/base/mlflow.yml", f"{start}\nmodel: null\n{rest}")
    return project


@pytest.fixture(scope="session")
def server(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One tracking server for all tests; each has an experiment of its own there."""
    with tracking_server(rendered, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """What stands between a test's runs and the server."""
    with proxy_of(server) as made:
        yield made


@pytest.fixture
def experiment(slow: Project, request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own on the shared server."""
    name = str(request.node.name)
    slow.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {name}\n")
    return name
