"""The pipeline that is tuned, copied into a project: one shared node, one that takes its time."""

from __future__ import annotations

import time

from kedro.pipeline import Pipeline, node


def rows(count: int) -> list[float]:
    """Make what every trial reads."""
    return [float(number) for number in range(count)]


def fit(rows: list[float], alpha: float, seconds: float) -> dict[str, float]:
    """Take so many seconds, and return what gets better near 3."""
    time.sleep(seconds)
    return {"loss": (alpha - 3) ** 2 + len(rows)}


def register_pipelines() -> dict[str, Pipeline]:
    """Connect them."""
    return {
        "__default__": Pipeline(
            [
                node(rows, "params:count", "rows", name="rows"),
                node(fit, ["rows", "params:alpha", "params:seconds"], "evaluation", name="fit"),
            ]
        )
    }
