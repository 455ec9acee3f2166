"""A disk that is full or read-only: said once, and the pipeline's own outcome is what it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.project import PACKAGE, Project
from tests.support.slow import expected, journals, measured, runs

# Larger than what tracking needs to start, smaller than the journal of the whole run.
ROOM = 10_000

# Returns what is too large for the disk, then fills it.
FILLING = """
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from kedro.pipeline import Pipeline, node
from sklearn.linear_model import Ridge


def draw():
    figure, axes = plt.subplots(figsize=(20, 20))
    axes.imshow(np.random.default_rng(0).random((900, 900)))
    return figure


def fit(figure):
    return Ridge().fit(np.random.default_rng(0).random((9, 99_999)), np.arange(9))


def fill(model):
    with Path(".kedro_mlflow/ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"0" * 4096):
                pass
        except OSError:
            pass
    return 1.0


def go_on(m0):
    AFTERWARDS
    return 2.0


def register_pipelines():
    nodes = [node(draw, None, "figure"), node(fit, "figure", "model"), node(fill, "model", "m0")]
    return {"__default__": Pipeline([*nodes, node(go_on, "m0", "m1")])}
"""


def run(project: Project, variables: dict[str, str], prefix: Sequence[str]) -> str:
    """Run Kedro by way of another program, and return the screen in one line."""
    command: list[str | Path] = [*prefix, project.environment / "bin" / "kedro", "run"]
    result = subprocess.run(
        command,
        cwd=project.folder,
        env=project.variables(variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    screen = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 0, screen
    assert "Traceback" not in screen
    return screen


@pytest.fixture
def tiny_disk(slow: Project) -> Iterator[Path]:
    """A file system of half a megabyte for the journals, and for nothing else."""
    folder = slow.folder / ".kedro_mlflow"
    folder.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_journal_that_grows_no_more_costs_what_comes_then_and_not_the_run(
    slow: Project, server: str, experiment: str
) -> None:
    """By a limit on the size of files, which any system has and any user may set."""
    prefix = ["prlimit", f"--fsize={ROOM}"]
    variables = {"MLFLOW_TRACKING_URI": server, "PYTHONDONTWRITEBYTECODE": "1"}
    screen = run(slow, variables, prefix)
    assert "Pipeline execution completed successfully" in screen
    assert screen.count("(File too large): the pipeline continues") == 1
    assert "kedro mlflow sync" not in screen
    (run_,) = runs(server, experiment)
    assert run_.info.status == "FINISHED"
    kept = measured(run_)
    assert kept
    assert kept.items() < expected().items()
    assert not journals(slow)


@pytest.mark.parametrize(
    ("afterwards", "status", "code"),
    [("", "FINISHED", 0), ("raise OSError(28, 'of my own')", "FAILED", 1)],
)
def test_a_disk_that_is_full_leaves_the_pipeline_its_own_outcome(
    slow: Project,
    tiny_disk: Path,
    server: str,
    experiment: str,
    afterwards: str,
    status: str,
    code: int,
) -> None:
    slow.write(f"src/{PACKAGE}/pipeline_registry.py", FILLING.replace("AFTERWARDS", afterwards))
    done = slow.kedro("run", env={"MLFLOW_TRACKING_URI": server}, code=code)
    screen = " ".join((done.stdout + done.stderr).split())
    assert code or "Traceback" not in screen
    assert screen.count("(No space left on device): the pipeline continues") == 1
    assert ("of my own" in screen) == bool(afterwards)
    (found,) = runs(server, experiment)
    assert found.info.status == status
    assert not journals(slow)
    assert sorted(path.name for path in tiny_disk.iterdir()) == ["ballast", "journal"]


# Makes the run's folder read-only before anything can be remembered there, and draws a figure.
LOCKING = """
import time
from pathlib import Path

import matplotlib.pyplot as plt
from kedro.pipeline import Pipeline, node


def lock():
    for path in [*Path(".kedro_mlflow").rglob("*"), Path(".kedro_mlflow")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return 0.0


def draw(m0):
    time.sleep(2)
    return plt.figure()


def go_on(figure):
    return 1.0


def register_pipelines():
    nodes = [node(lock, None, "m0"), node(draw, "m0", "figure"), node(go_on, "figure", "m1")]
    return {"__default__": Pipeline(nodes)}
"""


def test_a_folder_that_becomes_read_only_is_said_once_and_makes_no_run_twice(
    slow: Project, server: str, experiment: str
) -> None:
    slow.write(f"src/{PACKAGE}/pipeline_registry.py", LOCKING)
    # Root may write everywhere unless it gives that up.
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    variables = {"MLFLOW_TRACKING_URI": server}
    screen = run(slow, variables, drop if os.geteuid() == 0 else ())
    assert screen.count("(Permission denied): the pipeline continues") == 1
    assert len(journals(slow)) == 1
    for path in [slow.folder / ".kedro_mlflow", *(slow.folder / ".kedro_mlflow").rglob("*")]:
        path.chmod(0o755)
    for _ in range(2):
        (found,) = runs(server, experiment)
        assert found.info.status == "FINISHED"
        assert measured(found) == expected(2)
        slow.kedro("mlflow", "sync", env=variables)
    assert not journals(slow)
