"""Working: 50 nodes that work hard, the benchmark that kedro-mlflow's figures are published for."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from . import workload
from .measure import Command, in_turns, run
from .project import Project
from .report import Row, Table, count, memory, time_of
from .servers import Server, tracking_server
from .workload import Nodes

_COUNT, _SECONDS = 50, 120
_TABLES = Path("data", "07_model_output")
MOST_TIME, MOST_DISK, MOST_CALLS = 1.2, 1.0, 25


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare two minutes of NumPy and pandas work, tracked and not."""
    nodes = Nodes(_COUNT, rounds=_rounds(rendered))
    with tracking_server(rendered, "server") as server:
        bare = workload.bare(rendered, "bare-work", nodes)
        ours = workload.tracked(rendered, "ours-work", nodes, server.uri)
        theirs = workload.with_kedro_mlflow(rendered, "theirs-work", nodes, server.uri)
        places = (ours, theirs, bare)
        own, other, without = in_turns(
            max(1, repetitions // 3), *map(_kedro_run, places), warm_up=False
        )
        (calls, disk), (their_calls, their_disk), (_, bare_disk) = (
            _left_behind(server, place) for place in places
        )
    added, their_added = (100 * (each.seconds / without.seconds - 1) for each in (own, other))
    disk_added, their_disk_added = (100 * (each / bare_disk - 1) for each in (disk, their_disk))
    return Table(
        "Tracking hard work",
        f"50 nodes that sort, join, group and regress tables, {without.seconds:.0f} s in all "
        f"({time_of(without)} without tracking), and save one each ({bare_disk / 1e6:.0f} MB in "
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


def _left_behind(server: Server, place: Project) -> tuple[int, int]:
    """Run once more: how many calls that makes, and how many bytes it leaves behind."""
    _empty(place.folder / _TABLES)
    before = server.calls(), _size(place.folder) + _size(server.folder)
    run(_kedro_run(place))
    return server.calls() - before[0], _size(place.folder) + _size(server.folder) - before[1]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _kedro_run(place: Project) -> Command:
    tables = place.folder / _TABLES
    return Command([place.programs / "kedro", "run"], place.folder, before=partial(_empty, tables))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
