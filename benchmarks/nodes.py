"""Nodes of one kind: they work and return metrics. Copied into the projects that are measured.

nodes.json beside this file says how many there are and what they do.
"""

from __future__ import annotations

import json
import time
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline, node

SETTINGS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
METRICS = 5


def rest(number: int, parameters: dict[str, int]) -> dict[str, Any]:
    """Do nothing, for as long as nodes.json says."""
    time.sleep(SETTINGS["seconds"])
    return metrics(number)


def crunch(number: int, parameters: dict[str, int]) -> tuple[dict[str, Any], Any]:
    """Sort, join, group and regress random numbers; return a table to save, too."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(number)
    names = [f"c{n}" for n in range(12)]
    for _ in range(SETTINGS["rounds"]):
        frame = pd.DataFrame(rng.normal(size=(40_000, len(names))), columns=names)
        frame["group"] = rng.integers(0, 500, len(frame))
        means = frame.groupby("group").mean().reset_index()
        joined = frame.merge(means, on="group", suffixes=("", "_mean")).sort_values("c0")
        np.linalg.lstsq(joined[names].to_numpy(), joined["c0_mean"].to_numpy(), rcond=None)
    return metrics(number), joined.head(5_000)


def metrics(number: int) -> dict[str, Any]:
    """Make the metrics of a node, in the form that their data set wants."""
    values = {f"m{n}": number + n / 10 for n in range(METRICS)}
    if SETTINGS["history"]:  # kedro-mlflow's wants each value with its step.
        return {name: {"value": value, "step": 0} for name, value in values.items()}
    return values


def register_pipelines() -> dict[str, Pipeline]:
    """Make the nodes; none waits for another."""
    tables = SETTINGS["rounds"] > 0
    return {
        "__default__": Pipeline(
            [
                node(
                    _numbered(crunch if tables else rest, number),
                    f"params:node_{number}",
                    [f"metrics_{number}", f"table_{number}"] if tables else f"metrics_{number}",
                    name=f"node_{number}",
                )
                for number in range(SETTINGS["count"])
            ]
        )
    }


def _numbered(function: Any, number: int) -> Any:
    return update_wrapper(partial(function, number), function)
