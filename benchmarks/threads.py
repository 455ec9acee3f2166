"""Threads: nodes with threads, pools, processes and generators of their own, tracked and not."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from . import threaded_nodes, workload
from .measure import Measurement, in_turns
from .project import Project
from .report import Row, Table, time_of

MOST = 2.0  # Per cent.
_FEWEST_TURNS = 3
_CATALOG = (
    '"{name}_{number}":\n'
    "  type: pandas.CSVDataset\n"
    "  filepath: data/07_model_output/{name}_{number}.csv\n"
)
_NAMES = ("in_chunks", "in_pools", "in_processes")
# What Kedro says at the end: the nodes' time, with their loads and saves.
_DONE = re.compile(r"completed successfully in\s+([\d.]+)\s+sec")


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare the time of the nodes, in which nothing is logged."""
    ours, bare = rendered.copy("ours-threads"), rendered.bare("bare-threads")
    workload.register_no_model(ours)
    for place in (ours, bare):
        _put_nodes(place)
    commands = [workload.preloaded(place) for place in (ours, bare)]
    own, without = (
        _of_nodes(each) for each in in_turns(max(_FEWEST_TURNS, repetitions), *commands)
    )
    added = 100 * (own.seconds / without.seconds - 1)
    return Table(
        "Nodes with threads and processes of their own",
        "Generators, pools of threads, threads, programs and pools of processes, in all of which "
        "the run is MLflow's active one. No node calls MLflow. Theirs is the same project with "
        "`HOOKS = ()`; times are those of the nodes with their loads and saves. MLflow is loaded "
        "before: its import is in other tables.",
        [
            Row(
                "time of the nodes",
                time_of(own),
                time_of(without),
                f"{added:+.1f} %",
                f"at most +{MOST:g} %",
                added <= MOST,
            )
        ],
    )


def _put_nodes(place: Project) -> None:
    shutil.copyfile(Path(threaded_nodes.__file__), place.package / "pipeline_registry.py")
    base = place.folder / "conf" / "base"
    (base / "parameters.yml").write_text("seed: 1\n", encoding="utf-8")
    entries = (
        _CATALOG.format(name=name, number=number)
        for name in _NAMES
        for number in range(threaded_nodes.ROUNDS)
    )
    (base / "catalog.yml").write_text("".join(entries), encoding="utf-8")


def _of_nodes(whole: Measurement) -> Measurement:
    samples = []
    for sample in whole.samples:
        (seconds,) = _DONE.findall(sample.output)
        samples.append(replace(sample, seconds=float(seconds)))
    return Measurement(samples)
