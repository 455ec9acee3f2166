"""Logging a model: what the end of a run takes longer for keeping its model."""

from __future__ import annotations

import json
from pathlib import Path

from . import served, workload
from .measure import Command, Measurement, Sample, run
from .project import Project
from .report import Row, Table, memory_of, time_of

MOST = 1 / 20


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare training runs that log the inference pipeline with the same runs without."""
    with_model, without = rendered.copy("with-model"), rendered.copy("without-model")
    workload.register_no_model(without)
    their_place = served.with_kedro_mlflow(rendered, "theirs-with-model")
    commands = [
        _ending(with_model),
        _ending(without),
        _ending(their_place),
        _ending(their_place, "without_model"),
    ]
    rounds = [[_sample(each) for each in commands] for _ in range(max(3, repetitions // 2) + 1)]
    ours, bare, theirs, their_bare = (
        Measurement(samples) for samples in zip(*rounds[1:], strict=True)
    )
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
            Row("the end of a run with it", time_of(ours), time_of(theirs), ""),
            Row("the end of a run without", time_of(bare), time_of(their_bare), ""),
        ],
    )


def _ending(place: Project, *pipelines: str) -> Command:
    script = Path(__file__).with_name("ending.py")
    return Command([place.programs / "python", script, *pipelines], place.folder)


def _sample(command: Command) -> Sample:
    return Sample(**json.loads(run(command).output.splitlines()[-1]))
