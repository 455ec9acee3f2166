"""Logging a model: what the end of a run takes longer for keeping its model."""

from __future__ import annotations

import json
from itertools import cycle, islice
from pathlib import Path

from . import served, workload
from .measure import Command, Measurement, Sample, run
from .project import Project
from .report import Row, Table, memory_of, time_of

MOST = 1 / 20
# What the checks before the first node may add to a run whose input loads in a tenth of a second.
MOST_SECONDS = 0.3
_ROWS = 60_000


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare training runs that log the inference pipeline with the same runs without."""
    with_model, without = rendered.copy("with-model"), rendered.copy("without-model")
    workload.register_no_model(without)
    many, many_without = rendered.copy("many-rows"), rendered.copy("many-rows-without-model")
    workload.register_no_model(many_without)
    for place in (many, many_without):
        _lengthen(place.folder / served.INSTANCES)
    their_place = served.with_kedro_mlflow(rendered, "theirs-with-model")
    commands = [
        _ending(with_model),
        _ending(without),
        _ending(their_place),
        _ending(their_place, "without_model"),
        _ending(many),
        _ending(many_without),
    ]
    rounds = [[_sample(each) for each in commands] for _ in range(max(3, repetitions // 2) + 1)]
    runs = list(zip(*rounds[1:], strict=True))
    ours, bare, theirs, their_bare = (Measurement([end for _, end in one]) for one in runs[:4])
    checked, unchecked = (Measurement([until for until, _ in one]) for one in runs[4:])
    checks = checked.seconds - unchecked.seconds
    added, added_by_theirs = ours.seconds - bare.seconds, theirs.seconds - their_bare.seconds
    share = added / added_by_theirs
    return Table(
        "Logging a model at the end of a run",
        "What the hooks take from the end of the pipeline until the run is over, tracked in SQLite "
        f"and a folder, beyond the same run that logs no model. Theirs is {workload.KEDRO_MLFLOW}, "
        "for which MLflow finds the requirements by loading the model once more in a process of "
        "its own.",
        [
            Row(
                "logging the model",
                f"{added:+.2f} s ± {ours.spread:.2f}",
                f"{added_by_theirs:+.2f} s ± {theirs.spread:.2f}",
                f"1/{1 / share:.1f}" if share > 0 else "nothing",
                f"at most 1/{1 / MOST:g}",
                share <= MOST,
                memory_of(ours, theirs),
            ),
            Row(
                f"until the pipeline's end: the checks of {_ROWS:,} rows before the first node",
                f"{time_of(checked)} with, {time_of(unchecked)} without",
                "",
                f"{checks:+.2f} s",
                f"at most {MOST_SECONDS:g} s",
                checks <= MOST_SECONDS,
            ),
            Row("the end of a run with it", time_of(ours), time_of(theirs), ""),
            Row("the end of a run without", time_of(bare), time_of(their_bare), ""),
        ],
    )


def _ending(place: Project, *pipelines: str) -> Command:
    script = Path(__file__).with_name("ending.py")
    return Command([place.programs / "python", script, *pipelines], place.folder)


def _sample(command: Command) -> tuple[Sample, Sample]:
    """Run it: what it takes until the pipeline's end, and from there on."""
    told = json.loads(run(command).output.splitlines()[-1])
    return Sample(told["until_end"], told["memory"]), Sample(told["seconds"], told["memory"])


def _lengthen(table: Path) -> None:
    heading, *rows = table.read_text(encoding="utf-8").splitlines()
    many = islice(cycle(rows), _ROWS)
    table.write_text("\n".join((heading, *many, "")), encoding="utf-8")
