"""Working: 50 nodes that work hard, the benchmark that kedro-mlflow's figures are published for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from . import workload
from .measure import Measurement, Sample, in_turns, run
from .project import Project
from .report import Row, Table, count, memory
from .servers import Server, tracking_server
from .workload import Nodes

_COUNT, _SECONDS = 50, 120
# From one run of two minutes to the next the speed of a machine varies by more than tracking costs:
# time is taken of runs with a part of the work, many in turns.
_PART, _FEWEST_ROUNDS = 10, 5
_TABLES = Path("data", "07_model_output")
MOST_TIME, MOST_DISK, MOST_CALLS = 1.2, 1.0, 25


@dataclass(frozen=True)
class Work:
    """One run, the calls that a server got of it, and the bytes that it has left behind."""

    sample: Sample
    calls: int
    disk: int


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare two minutes of NumPy and pandas work, tracked and not."""
    nodes = Nodes(_COUNT, rounds=_rounds(rendered))
    part = replace(nodes, rounds=max(1, nodes.rounds // _PART))
    with tracking_server(rendered, "server") as server:
        places = _places(rendered, "work", nodes, server.uri)
        last, their_last, bare_last = (_work(server, place) for place in places)
        shorter = [
            workload.kedro_run(place)
            for place in _places(rendered, "part-of-work", part, server.uri)
        ]
        own, other, without = in_turns(max(_FEWEST_ROUNDS, repetitions), *shorter)
    seconds = bare_last.sample.seconds
    calls, their_calls = last.calls, their_last.calls
    disk, their_disk, bare_disk = last.disk, their_last.disk, bare_last.disk
    added, their_added = (_added(each, without) for each in (own, other))
    share = 100 * added.seconds / seconds
    disk_added, their_disk_added = (100 * (each / bare_disk - 1) for each in (disk, their_disk))
    return Table(
        "Tracking hard work",
        f"50 nodes that sort, join, group and regress tables, {seconds:.0f} s in all without "
        f"tracking, and save one each ({bare_disk / 1e6:.0f} MB in all); 10 parameters and 5 "
        f"metrics a node, `mlflow server`. Theirs is {workload.KEDRO_MLFLOW}. Time is what "
        f"tracking adds to runs of the same nodes with a part of the work "
        f"({without.seconds:.0f} s), {len(own.samples)} in turns, as a share of the whole: from "
        "minute to minute the speed of a machine varies by more. All else is that of the whole, "
        "once.",
        [
            Row(
                "time added",
                f"{share:+.2f} %",
                f"{100 * their_added.seconds / seconds:+.2f} %",
                " / ".join(
                    f"{each.seconds:+.2f} s ± {each.spread:.2f}" for each in (added, their_added)
                ),
                f"at most +{MOST_TIME:g} %",
                share <= MOST_TIME,
            ),
            count("calls", calls, their_calls, MOST_CALLS),
            Row(
                "disk added, in project and store",
                f"{disk_added:+.2f} %",
                f"{their_disk_added:+.2f} %",
                f"{disk_added / their_disk_added:.2f} x",
                f"at most +{MOST_DISK:g} %",
                disk_added <= MOST_DISK,
            ),
            memory("peak memory", *(Measurement([each.sample]) for each in (last, their_last))),
        ],
    )


def _places(rendered: Project, name: str, nodes: Nodes, uri: str) -> tuple[Project, ...]:
    """The same nodes under our hook, under theirs, and under none."""
    return (
        workload.tracked(rendered, f"ours-{name}", nodes, uri),
        workload.with_kedro_mlflow(rendered, f"theirs-{name}", nodes, uri),
        workload.bare(rendered, f"bare-{name}", nodes),
    )


def _added(tracked: Measurement, bare: Measurement) -> Measurement:
    """What each run took longer than the one of its turn without tracking."""
    pairs = zip(tracked.samples, bare.samples, strict=True)
    return Measurement([replace(one, seconds=one.seconds - other.seconds) for one, other in pairs])


def _rounds(rendered: Project) -> int:
    """How often a node must do its work for all of them to take two minutes on this machine."""
    few, many = (
        run(
            workload.kedro_run(workload.bare(rendered, "calibration", Nodes(4, rounds=rounds)))
        ).seconds
        for rounds in (2, 12)
    )
    return max(1, round(_SECONDS / _COUNT / ((many - few) / 40)))


def _work(server: Server, place: Project) -> Work:
    _empty(place.folder / _TABLES)
    calls, disk = server.calls(), _size(place.folder) + _size(server.folder)
    sample = run(workload.kedro_run(place))
    left_behind = _size(place.folder) + _size(server.folder) - disk
    return Work(sample, server.calls() - calls, left_behind)


def _size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files if path.is_file())


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
