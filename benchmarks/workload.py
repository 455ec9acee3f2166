"""Projects of many nodes, 10 parameters and 5 metrics each: this hook's, kedro-mlflow's, bare."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import project
from .measure import clean_environment
from .project import Project

PARAMETERS, METRICS = 10, 5
KEDRO_MLFLOW = "kedro-mlflow==2.0.3"

_PIPELINE = '''\
"""{count} nodes of one kind."""

import time
from functools import partial, update_wrapper

from kedro.pipeline import Pipeline, node

WORK, HISTORY = {work!r}, {history!r}


def run_node(number, parameters):
    """Work, and return as many metrics as were asked for."""
    kind, _, amount = WORK.partition(":")
    if kind == "sleep":
        time.sleep(float(amount))
    elif kind == "tables":
        _crunch(number, int(amount))
    metrics = {{f"m{{n}}": number + n / 10 for n in range({metrics})}}
    # kedro-mlflow's data set wants each value with its step.
    return {{k: {{"value": v, "step": 0}} for k, v in metrics.items()}} if HISTORY else metrics


def _crunch(seed, rounds):
    """The same NumPy and pandas work each time: regressions, sorting, grouping, joining."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        values = rng.normal(size=(40_000, 12))
        frame = pd.DataFrame(values, columns=[f"c{{n}}" for n in range(12)])
        frame["group"] = rng.integers(0, 500, len(frame))
        means = frame.groupby("group").mean().reset_index()
        joined = frame.merge(means, on="group", suffixes=("", "_mean")).sort_values("c0")
        np.linalg.lstsq(joined.iloc[:, :12].to_numpy(), joined["c0_mean"].to_numpy(), rcond=None)


def _numbered(number):
    return update_wrapper(partial(run_node, number), run_node)


def create_pipeline():
    """Make the nodes; none waits for another."""
    return Pipeline(
        [
            node(_numbered(n), f"params:node_{{n}}", f"metrics_{{n}}", name=f"node_{{n}}")
            for n in range({count})
        ]
    )
'''

_REGISTRY = '''\
"""The pipelines of the project."""

from .many import create_pipeline


def register_pipelines():
    """List the one there is."""
    return {"__default__": create_pipeline()}
'''


def tracked(rendered: Project, name: str, count: int, work: str, uri: str) -> Project:
    """The nodes under this template's hook, which tracks at a URI."""
    made = rendered.copy(name)
    _write_nodes(made, count, work)
    config = made.folder / "conf" / "base" / "mlflow.yml"
    content = config.read_text(encoding="utf-8")
    head, model, rest = content.partition("\nmodel:")
    _, mirrors, rest = rest.partition("\nmirrors:")
    assert model
    assert mirrors
    content = f"{head}\nmodel: null\n{mirrors}{rest}"  # There is no pipeline to register.
    config.write_text(_set_uri(content, uri), encoding="utf-8")
    return made


def bare(rendered: Project, name: str, count: int, work: str) -> Project:
    """The nodes in a project without hook, in the same environment."""
    made = rendered.bare(name)
    _write_nodes(made, count, work)
    return made


def with_kedro_mlflow(rendered: Project, name: str, count: int, work: str, uri: str) -> Project:
    """The nodes under kedro-mlflow, in an environment of its own, its data sets in the catalog."""
    made = rendered.bare(name)
    _write_nodes(made, count, work, history=True)
    base = made.folder / "conf" / "base"
    (base / "catalog.yml").write_text(
        "".join(
            f"metrics_{n}:\n  type: kedro_mlflow.io.metrics.MlflowMetricsHistoryDataset\n"
            for n in range(count)
        ),
        encoding="utf-8",
    )
    (base / "mlflow.yml").write_text(
        f"server:\n  mlflow_tracking_uri: {uri}\n"
        "tracking:\n  experiment:\n    name: kedro_mlflow\n"
        "  params:\n    dict_params:\n      flatten: true\n",
        encoding="utf-8",
    )
    return Project(made.folder, _environment(rendered) / "bin")


def _environment(rendered: Project) -> Path:
    """An environment with kedro-mlflow and what the nodes work with."""
    folder = project.BENCH / "kedro-mlflow-environment"
    if not (folder / "ready").exists():
        variables = clean_environment(os.environ)
        python = folder / "bin" / "python"
        same = rendered.versions("kedro", "mlflow", "pandas", "numpy")
        packages = [KEDRO_MLFLOW, *(f"{name}=={version}" for name, version in same.items())]
        commands: list[list[str | Path]] = [
            ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            [
                "uv",
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                python,
                *packages,
            ],
        ]
        for command in commands:
            subprocess.run(command, env=variables, check=True)
        (folder / "ready").touch()
    return folder


def _write_nodes(made: Project, count: int, work: str, history: bool = False) -> None:
    content = _PIPELINE.format(count=count, metrics=METRICS, work=work, history=history)
    (made.package / "many.py").write_text(content, encoding="utf-8")
    (made.package / "pipeline_registry.py").write_text(_REGISTRY, encoding="utf-8")
    base = made.folder / "conf" / "base"
    (base / "catalog.yml").write_text("", encoding="utf-8")
    lines = []
    for number in range(count):
        lines.append(f"node_{number}:\n")
        lines += [f"  p{n}: {number + n}\n" for n in range(PARAMETERS)]
    (base / "parameters.yml").write_text("".join(lines), encoding="utf-8")


def _set_uri(content: str, uri: str) -> str:
    lines = [
        f"  mlflow_tracking_uri: {uri}" if line.startswith("  mlflow_tracking_uri:") else line
        for line in content.splitlines()
    ]
    return "\n".join(lines) + "\n"
