"""A project whose runs are over in a moment, and what they leave where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support import tables
from tests.support.project import PACKAGE, Project

REGISTRY = """\
from .pipelines import small

def register_pipelines():
    return small.PIPELINES
"""

CONFIG = f"""\
server:
  mlflow_tracking_uri: sqlite:///mlflow.db
tracking:
  experiment:
    name: {PACKAGE}
"""

SESSION = """\
import json, os, sys
from pathlib import Path
from kedro.framework.session import KedroServiceSession, KedroSession
from kedro.framework.startup import bootstrap_project

bootstrap_project(Path.cwd())
"""

# Runs commands of Kedro's, one after another; the exit code and the screen of each.
COMMANDS = """\
import io, json, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from kedro.framework.cli.cli import main

ended = []
for files, command in json.loads(Path("commands.json").read_text()):
    for path, content in files.items():
        Path(path).write_text(content)
    sys.argv[1:] = command.split()
    with redirect_stdout(io.StringIO()) as screen, redirect_stderr(screen):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        except Exception:
            code = 1
            traceback.print_exc()
    ended.append([code, " ".join(screen.getvalue().split())])
print(json.dumps(ended))
"""

TWO_NODES = """\
from kedro.pipeline import Pipeline, node

def first(alpha):
    return {"score": alpha}

def second(numbers):
    return {"score": numbers["score"] * 2}

a = Pipeline([node(first, "params:alpha", "one", name="first")])
b = Pipeline([node(second, "one", "two", name="second")])
PIPELINES = {"__default__": a + b, "a": a, "b": b}
"""

FIGURE = """\
from kedro.pipeline import Pipeline, node

def draw(alpha):
    import matplotlib.pyplot as plt
    figure = plt.figure()
    figure.gca().plot([0, alpha])
    return figure

def measure(alpha):
    return {"score": alpha}

nodes = [node(measure, "params:alpha", "one"), node(draw, "params:alpha", "figure")]
PIPELINES = {"__default__": Pipeline(nodes)}
"""

SLOW = """\
import time
from pathlib import Path
from kedro.pipeline import Pipeline, node

def first(alpha):
    return {"score": alpha}

def wait(numbers):
    Path("waiting").touch()
    while not Path("go").exists():
        time.sleep(0.1)
    return {"score": numbers["score"] * 2}

def linger(numbers):
    while Path("linger").exists():
        time.sleep(0.1)
    return numbers["score"]

nodes = [node(first, "params:alpha", "one"), node(wait, "one", "two"), node(linger, "two", "end")]
PIPELINES = {"__default__": Pipeline(nodes)}
"""


def small(project: Project, pipelines: str, config: str = "") -> Project:
    """Give the project other, small pipelines, and an mlflow.yml of defaults."""
    project.write(f"src/{PACKAGE}/pipelines/small.py", pipelines)
    project.write(f"src/{PACKAGE}/pipeline_registry.py", REGISTRY)
    project.write("conf/base/mlflow.yml", CONFIG + config)
    project.write("conf/base/catalog.yml", "")
    project.write("conf/base/parameters.yml", "alpha: 0.5\n")
    tables.give(project.folder)
    return project


def quick_figures(project: Project) -> None:
    """Let the two figures of an example be drawn in a moment: small, no layout is searched for."""
    project.edit("conf/base/catalog.yml", "dpi: 150", "dpi: 30", times=2)
    plots = f"src/{PACKAGE}/pipelines/training/plots.py"
    project.edit(plots, ', layout="constrained"', "", times=2)


def tiny(project: Project, experiment: str, pipelines: str = TWO_NODES) -> Project:
    """Give the project small pipelines and an experiment of its own, wherever it tracks."""
    small(project, pipelines)
    (project.folder / "mlflow.db").unlink(missing_ok=True)
    config = "conf/base/mlflow.yml"
    project.edit(config, "sqlite:///mlflow.db", "${oc.env:MLFLOW_TRACKING_URI}")
    project.edit(config, f"name: {PACKAGE}", f"name: {experiment}")
    return project


def runs(client: MlflowClient, experiment: str) -> list[Run]:
    """The runs of an experiment; none when it does not exist."""
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def each_of(
    project: Project,
    commands: Sequence[tuple[Mapping[str, str], str]],
    env: Mapping[str, str] | None = None,
) -> list[tuple[int, str]]:
    """Run commands of Kedro's in one process, each after files are written; what each said."""
    project.write("commands.json", json.dumps(commands))
    ended: list[tuple[int, str]] = json.loads(project.script(COMMANDS, env)[-1])
    return ended


def journals(project: Project) -> list[Path]:
    """The runs that are not delivered yet."""
    folder = project.folder / ".kedro_mlflow" / "journal"
    return sorted(folder.iterdir()) if folder.exists() else []


def refused(project: Project) -> list[str]:
    """What was set aside for good."""
    files = (project.folder / ".kedro_mlflow" / "refused").rglob("*.refused")
    return [json.loads(line)["what"] for path in files for line in path.read_text().splitlines()]


def said(screen: str) -> str:
    """What stands on a screen, without its line breaks."""
    return " ".join(screen.split())
