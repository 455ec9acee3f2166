"""A registry of 200 nodes that take 50 ms each, and note when; copied into projects."""

import time
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline, node

_SECONDS, _CHAINS = 0.05, 100


def work(*values: Any) -> dict[str, float]:
    """Sleep, and return a metric."""
    started = time.time()
    time.sleep(_SECONDS)
    with Path("spans.txt").open("a", encoding="utf-8") as file:
        file.write(f"{started} {time.time()}\n")
    return {"score": float(len(values))}


def register_pipelines() -> dict[str, Pipeline]:
    """Connect half of the nodes to one of the other half each."""
    nodes = []
    for number in range(_CHAINS):
        first, second = f"result_{number}", f"result_{number + _CHAINS}"
        nodes.append(node(work, "params:alpha", first, name=f"first_{number}"))
        nodes.append(node(work, first, second, name=f"second_{number}"))
    return {"__default__": Pipeline(nodes)}
