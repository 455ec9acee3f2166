"""Enduring: a server that takes two seconds for each call, and eight runs at once."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient

from tests.support.proxy import proxy_of

from . import workload
from .measure import Command, Sample, TookTooLongError, in_turns, run
from .project import Project
from .report import Row, Table
from .servers import Server, tracking_server
from .workload import Nodes

_DELAY, _LIMIT = 2.0, 120
_SLOW = Nodes(50, seconds=0.2)
_AT_ONCE = 8
_PIPELINE_TIME = re.compile(r"Pipeline execution completed\s+successfully in ([\d.]+)\s+sec")
MOST_SLOWER = 1.05


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare the pipeline's own time, as Kedro tells it, and what has arrived."""
    with tracking_server(rendered, "server") as server:
        rows = [*_slow_server(rendered, server), *_many_runs(rendered, server)]
    return Table(
        "Enduring",
        "The slow server is a real one behind a proxy that keeps each call waiting for "
        f"{_DELAY:g} s. Theirs is {workload.KEDRO_MLFLOW}.",
        rows,
    )


def _slow_server(rendered: Project, server: Server) -> list[Row]:
    with proxy_of(server.uri) as proxy:
        proxy.delay = _DELAY
        bare = workload.bare(rendered, "bare-slow", _SLOW)
        ours = workload.tracked(rendered, "ours-slow", _SLOW, proxy.url, deadline=_LIMIT)
        theirs = workload.with_kedro_mlflow(rendered, "theirs-slow", _SLOW, proxy.url)
        own, without = in_turns(3, _kedro_run(ours), _kedro_run(bare), warm_up=False)
        try:
            other = f"{_pipeline_seconds(run(_kedro_run(theirs))):.1f} s"
        except TookTooLongError as stopped:
            done = str(stopped).count("Completed node:")
            other = f"stopped after {_LIMIT} s, at node {done + 1} of 50"
    seconds, bare_seconds = (
        sorted(_pipeline_seconds(sample) for sample in each.samples)[1] for each in (own, without)
    )
    return [
        Row(
            "a slow server, 50 nodes of 0.2 s: the pipeline's own time",
            f"{seconds:.1f} s",
            other,
            f"{seconds / bare_seconds:.2f} x of bare ({bare_seconds:.1f} s)",
            f"at most {MOST_SLOWER:g} x",
            seconds <= MOST_SLOWER * bare_seconds,
        ),
        Row("the same until all of it has arrived", f"{own.seconds:.1f} s", other, ""),
    ]


def _many_runs(rendered: Project, server: Server) -> list[Row]:
    nodes = Nodes(50)
    ours = workload.tracked(rendered, "ours-parallel", nodes, server.uri, deadline=_LIMIT)
    theirs = workload.with_kedro_mlflow(rendered, "theirs-parallel", nodes, server.uri)
    seconds, complete = _at_once(ours, server, ours.package.name)
    their_seconds, their_complete = _at_once(theirs, server, "kedro_mlflow")
    return [
        Row(
            f"{_AT_ONCE} runs of 50 nodes at once: with every value",
            f"{complete} of {_AT_ONCE}",
            f"{their_complete} of {_AT_ONCE}",
            f"{seconds:.1f} s / {their_seconds:.1f} s",
            "all",
            complete == _AT_ONCE,
        )
    ]


def _at_once(place: Project, server: Server, experiment: str) -> tuple[float, int]:
    """Start runs at once; return how long that took, and how many have all of their values."""
    client = MlflowClient(server.uri)
    before = _run_ids(client, experiment)
    started = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        command = workload.kedro_run(place)  # For as long as theirs takes.
        for each in [pool.submit(run, command) for _ in range(_AT_ONCE)]:
            each.result()
    seconds = time.perf_counter() - started
    made = [client.get_run(run_id) for run_id in _run_ids(client, experiment) - before]
    whole = [
        each
        for each in made
        if each.info.status == "FINISHED"
        and len(each.data.params) == 50 * workload.PARAMETERS
        and len([name for name in each.data.metrics if "seconds" not in name])
        == 50 * workload.METRICS
    ]
    return seconds, len(whole)


def _run_ids(client: MlflowClient, experiment: str) -> set[str]:
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    return {each.info.run_id for each in runs}


def _pipeline_seconds(sample: Sample) -> float:
    found = _PIPELINE_TIME.search(sample.output)
    assert found, sample.output
    return float(found[1])


def _kedro_run(place: Project) -> Command:
    return Command([place.programs / "kedro", "run"], place.folder, limit=_LIMIT)
