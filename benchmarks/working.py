"""Working: 50 nodes that work hard, the benchmark that kedro-mlflow's figures are published for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import workload
from .measure import Command, Measurement, Sample, run
from .project import Project
from .report import Row, Table, count, memory
from .servers import Server, tracking_server
from .workload import Nodes

_COUNT, _SECONDS = 50, 120
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
    with tracking_server(rendered, "server") as server:
        bare = workload.bare(rendered, "bare-work", nodes)
        ours = workload.tracked(rendered, "ours-work", nodes, server.uri)
        theirs = workload.with_kedro_mlflow(rendered, "theirs-work", nodes, server.uri)
        places = (ours, theirs, bare)
        rounds = [
            [_work(server, place) for place in places] for _ in range(max(1, repetitions // 3))
        ]
    own, other, without = (
        Measurement([work.sample for work in each]) for each in zip(*rounds, strict=True)
    )
    last, their_last, bare_last = rounds[-1]
    calls, their_calls = last.calls, their_last.calls
    disk, their_disk, bare_disk = last.disk, their_last.disk, bare_last.disk
    added, their_added = (100 * (each.seconds / without.seconds - 1) for each in (own, other))
    disk_added, their_disk_added = (100 * (each / bare_disk - 1) for each in (disk, their_disk))
    return Table(
        "Tracking hard work",
        f"50 nodes that sort, join, group and regress tables, {without.seconds:.2f} s in all "
        f"(±{without.spread:.2f}) without tracking, and save one each ({bare_disk / 1e6:.0f} MB in "
        f"all); 10 parameters and 5 metrics a node, `mlflow server`. Theirs is "
        f"{workload.KEDRO_MLFLOW}.",
        [
            Row(
                "time added",
                f"{added:+.2f} %",
                f"{their_added:+.2f} %",
                " / ".join(f"{each.seconds - without.seconds:+.2f} s" for each in (own, other)),
                f"at most +{MOST_TIME:g} %",
                added <= MOST_TIME,
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
            memory("peak memory", own, other),
        ],
    )


def _rounds(rendered: Project) -> int:
    """How often a node must do its work for all of them to take two minutes on this machine."""
    few, many = (
        run(_kedro_run(workload.bare(rendered, "calibration", Nodes(4, rounds=rounds)))).seconds
        for rounds in (2, 12)
    )
    return max(1, round(_SECONDS / _COUNT / ((many - few) / 40)))


def _work(server: Server, place: Project) -> Work:
    _empty(place.folder / _TABLES)
    calls, disk = server.calls(), _size(place.folder) + _size(server.folder)
    sample = run(_kedro_run(place))
    left_behind = _size(place.folder) + _size(server.folder) - disk
    return Work(sample, server.calls() - calls, left_behind)


def _size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files if path.is_file())


def _kedro_run(place: Project) -> Command:
    return Command([place.programs / "kedro", "run"], place.folder)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
