"""Nodes with threads, pools, processes and generators of their own; none calls MLflow.

Copied into the projects that are measured, as their pipeline_registry.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from threading import Thread

import numpy as np
import pandas as pd
from kedro.pipeline import Pipeline, node

ROUNDS, CHUNKS, TASKS, PROCESSES = 48, 20, 400, 8
# Older than any run.
POOL = ThreadPoolExecutor(2)


def work(number: int) -> float:
    """Sort random numbers: some milliseconds."""
    generator = np.random.default_rng(number)
    # Arrays that are not given back to the system each time, which costs more than sorting them.
    return float(sum(np.sort(generator.random(10_000))[0] for _ in range(20)))


def in_chunks(seed: int) -> Iterator[pd.DataFrame]:
    """Make a table chunk by chunk; each is saved before the next is made."""
    for number in range(CHUNKS):
        yield pd.DataFrame({"value": [work(seed + each) for each in range(10)], "chunk": number})


def in_pools(seed: int) -> pd.DataFrame:
    """Submit many small tasks to an old pool and to a new one, and start a thread for some."""
    with ThreadPoolExecutor(2) as new:
        values = [*POOL.map(work, range(TASKS)), *new.map(work, range(TASKS))]
    threads = [Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return pd.DataFrame({"value": values})


def in_processes(seed: int) -> pd.DataFrame:
    """Start programs, and a pool of processes."""
    for _ in range(PROCESSES):
        subprocess.run([sys.executable, "-c", "import json"], check=True)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return pd.DataFrame({"value": [*pool.map(abs, range(100))]})


def register_pipelines() -> dict[str, Pipeline]:
    """Make the nodes; none waits for another."""
    functions = (in_chunks, in_pools, in_processes)
    nodes = [
        node(
            function,
            "params:seed",
            f"{function.__name__}_{number}",
            name=f"{number}_{function.__name__}",
        )
        for number in range(ROUNDS)
        for function in functions
    ]
    return {"__default__": Pipeline(nodes)}
