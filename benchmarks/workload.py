"""Projects of many nodes, 10 parameters and 5 metrics each: this hook's, kedro-mlflow's, bare."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from . import project
from .measure import Command, clean_environment
from .project import Project

PARAMETERS, METRICS = 10, 5
KEDRO_MLFLOW = "kedro-mlflow==2.0.3"

_NODES = Path(__file__).with_name("nodes.py")
_TABLES = (
    '"table_{number}":\n'
    "  type: pandas.CSVDataset\n"
    "  filepath: data/07_model_output/table_{number}.csv\n"
)
# Named, for with Kedro 1.7 they all go by the same five names otherwise.
_METRICS = (
    '"metrics_{number}":\n'
    "  type: kedro_mlflow.io.metrics.MlflowMetricsHistoryDataset\n"
    "  prefix: metrics_{number}\n"
)
# What both environments have in the same version: all that the pipelines need.
_THE_SAME = (
    *("kedro", "kedro-datasets", "matplotlib", "mlflow", "numpy", "pandas", "pandera", "pydantic"),
    *("scikit-learn", "skops"),
)
_THEIR_CONFIG = """\
server:
  mlflow_tracking_uri: {uri}
tracking:
  experiment:
    name: kedro_mlflow
  params:
    dict_params:
      flatten: true
"""


_PRELOADED = (
    "import sys, mlflow; sys.argv[0] = 'kedro'; from kedro.framework.cli import main; main()"
)


@dataclass(frozen=True)
class Nodes:
    """How many nodes there are, and what each does.

    Attributes:
        count: how many.
        seconds: how long each sleeps.
        rounds: how often each makes, joins and sorts a table of random numbers.
    """

    count: int
    seconds: float = 0
    rounds: int = 0


def kedro_run(place: Project) -> Command:
    """The default pipeline, as a user runs it."""
    return Command([place.programs / "kedro", "run"], place.folder)


def preloaded(place: Project) -> Command:
    """The same in a process that has MLflow loaded already."""
    return Command([place.programs / "python", "-c", _PRELOADED, "run"], place.folder)


def bare(rendered: Project, name: str, nodes: Nodes) -> Project:
    """A project without hook, in the same environment as the one with it."""
    return _with_nodes(rendered.bare(name), nodes)


def tracked(rendered: Project, name: str, nodes: Nodes, uri: str, deadline: int = 60) -> Project:
    """The same under this template's hook, which tracks at a URI."""
    made = _with_nodes(rendered.copy(name), nodes)
    register_no_model(made)
    config = made.folder / "conf" / "base" / "mlflow.yml"
    lines = config.read_text(encoding="utf-8").splitlines()
    settings = {"  mlflow_tracking_uri:": uri, "  deadline:": str(deadline)}
    for number, line in enumerate(lines):
        for key, value in settings.items():
            if line.startswith(key):
                lines[number] = f"{key} {value}"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def with_kedro_mlflow(rendered: Project, name: str, nodes: Nodes, uri: str) -> Project:
    """The same under kedro-mlflow, in an environment of its own, its data sets in the catalog."""
    made = _with_nodes(rendered.bare(name), nodes, history=True)
    with (made.folder / "conf" / "base" / "catalog.yml").open("a", encoding="utf-8") as catalog:
        catalog.write(_METRICS)
    return under_kedro_mlflow(rendered, made, uri)


def under_kedro_mlflow(rendered: Project, bare: Project, uri: str) -> Project:
    """Put a project under kedro-mlflow: its configuration, and an environment that has it."""
    config = bare.folder / "conf" / "base" / "mlflow.yml"
    config.write_text(_THEIR_CONFIG.format(uri=uri), encoding="utf-8")
    return Project(bare.folder, environment(rendered, "kedro-mlflow", KEDRO_MLFLOW))


def register_no_model(made: Project) -> None:
    """Let a project's runs log no model: there is no pipeline to register, or none is wanted."""
    config = made.folder / "conf" / "base" / "mlflow.yml"
    lines = config.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("model:"))
    last = next(n for n, line in enumerate(lines) if line.startswith("mirrors:"))
    lines[first:last] = ["model: null", ""]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_nodes(made: Project, nodes: Nodes, history: bool = False) -> Project:
    registry = made.package / "pipeline_registry.py"
    shutil.copyfile(_NODES, registry)
    settings = json.dumps(asdict(nodes) | {"history": history})
    registry.with_suffix(".json").write_text(settings, encoding="utf-8")
    base = made.folder / "conf" / "base"
    (base / "catalog.yml").write_text(_TABLES if nodes.rounds else "", encoding="utf-8")
    with (base / "parameters.yml").open("w", encoding="utf-8") as file:
        for number in range(nodes.count):
            values = ", ".join(f"p{n}: {number + n}" for n in range(PARAMETERS))
            file.write(f"node_{number}: {{{values}}}\n")
    return made


def environment(rendered: Project, name: str, *wanted: str) -> Path:
    """The programs of an environment with these packages and what the pipelines work with."""
    folder = project.BENCH / f"{name}-environment"
    same = rendered.versions(*_THE_SAME)
    packages = [*wanted, *(f"{name}=={version}" for name, version in same.items())]
    ready, content = folder / "ready", "\n".join(packages)
    if ready.exists() and ready.read_text(encoding="utf-8") == content:
        return folder / "bin"
    install = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python"]
    commands: list[list[str | Path]] = [
        ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder],
        [*install, folder / "bin" / "python", *packages],
    ]
    for command in commands:
        subprocess.run(command, env=clean_environment(os.environ), check=True)
    ready.write_text(content, encoding="utf-8")
    return folder / "bin"
