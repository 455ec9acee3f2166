"""What a project's run or command must never leave: a stray database, folder, experiment or run.

Everything belongs where mlflow.yml says. A test that leaves something elsewhere fails at its end,
unless it says why: `@pytest.mark.strays("the process logs to a database of its own")`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.started import STARTED, Started

# The names that MLflow itself uses where it is told nothing.
DATABASE, FOLDER = "mlflow.db", "mlruns"
DEFAULT_EXPERIMENT = "Default"
NOT_SEARCHED = {".git", ".venv", "__pycache__", "node_modules"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "strays(why): may leave what mlflow.yml knows nothing of")


@pytest.fixture(autouse=True)
def nothing_stray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something in the wrong place."""
    STARTED.clear()
    here = [path for path in (Path(DATABASE), Path(FOLDER)) if not path.exists()]
    yield
    strays = [f"{path} in the working directory" for path in here if path.exists()]
    # A server that a test starts has no project.
    folders = {each.project for each in STARTED if (each.project / "conf").is_dir()}
    for folder in sorted(folders):
        strays += strays_of(folder, [each for each in STARTED if each.project == folder])
    if request.node.get_closest_marker("strays") is None:
        assert not strays, "\n".join(strays)


def strays_of(project: Path, started: list[Started]) -> list[str]:
    """What is in the wrong place after these programs of a project, one line each."""
    strays, known = [], _text(project, started)
    places = {project, *(each.cwd.resolve() for each in started)}
    for path in sorted({path for place in places for path in _found(place)}):
        if path.name == FOLDER or not _is_expected(path, project, started):
            strays.append(f"{path} is where mlflow.yml does not say")
    for path in sorted(project.glob("*.db")):
        strays += [f"{path}: {each}" for each in _strays_in(path, known)]
    return strays


def _found(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_SEARCHED]
        yield from (Path(where, name) for name in (*folders, *files) if name in (DATABASE, FOLDER))


def _is_expected(database: Path, project: Path, started: list[Started]) -> bool:
    """Whether a program may have tracked in the project's own database."""
    if database != project / DATABASE:
        return False
    own = any(f"sqlite:///{DATABASE}" in path.read_text("utf-8") for path in _configs(project))
    addresses = {each.env.get("MLFLOW_TRACKING_URI", "") for each in started}
    return (own and "" in addresses) or any(each.endswith(f"/{DATABASE}") for each in addresses)


def _configs(project: Path) -> list[Path]:
    return sorted((project / "conf").rglob("mlflow*.yml"))


def _text(project: Path, started: list[Started]) -> str:
    """All that may name an experiment: configuration, code and variables."""
    files = [*_configs(project), *project.glob("*.py"), *(project / "src").rglob("*.py")]
    texts = [path.read_text("utf-8") for path in files if "mlops" not in path.parts]
    return "\n".join([*texts, *(value for each in started for value in each.env.values())])


def _strays_in(path: Path, known: str) -> Iterator[str]:
    """Name experiments that nothing mentions, and runs that belong to no Kedro run."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        if not database.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'experiments'"
        ).fetchone():
            return
        experiments = dict(
            database.execute(
                "SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active'"
            )
        )
        for name in experiments.values():
            if name != DEFAULT_EXPERIMENT and name not in known:
                yield f"an experiment '{name}'"
        tags: dict[str, dict[str, str]] = {}
        for run_id, key, value in database.execute("SELECT run_uuid, key, value FROM tags"):
            tags.setdefault(run_id, {})[key] = value
        for run_id, experiment_id in database.execute(
            "SELECT run_uuid, experiment_id FROM runs WHERE lifecycle_stage = 'active'"
        ):
            if not _is_tracked(run_id, tags):
                yield f"a run {run_id} in the experiment '{experiments.get(experiment_id)}'"


def _is_tracked(run_id: str, tags: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a run is one of Kedro's, or below one."""
    own = tags.get(run_id, {})
    parent = own.get("mlflow.parentRunId")
    return "kedro.run_id" in own or bool(parent and _is_tracked(parent, tags))
