"""Logging a model: what a run takes longer for keeping its model."""

from __future__ import annotations

from pathlib import Path

from . import served, workload
from .measure import Command, in_turns
from .project import Project
from .report import Row, Table, memory_of, time_of

MOST = 1 / 20


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare training runs that log the inference pipeline with the same runs without."""
    with_model, without = rendered.copy("with-model"), rendered.copy("without-model")
    workload.register_no_model(without)
    their_place = served.with_kedro_mlflow(rendered, "theirs-with-model")
    their_run: list[str | Path] = [their_place.programs / "kedro", "run"]
    ours, bare, theirs, their_bare = in_turns(
        max(3, repetitions // 3),
        Command([rendered.programs / "kedro", "run"], with_model.folder),
        Command([rendered.programs / "kedro", "run"], without.folder),
        Command(their_run, their_place.folder),
        Command([*their_run, "--pipelines", "without_model"], their_place.folder),
    )
    added, added_by_theirs = ours.seconds - bare.seconds, theirs.seconds - their_bare.seconds
    share = added / added_by_theirs
    return Table(
        "Logging a model at the end of a run",
        "What the training run takes longer than the same run that logs no model, each into a "
        f"SQLite database and a folder. Theirs is {workload.KEDRO_MLFLOW}, for which MLflow finds "
        "the requirements by loading the model once more in a process of its own.",
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
            Row("`kedro run` with it", time_of(ours), time_of(theirs), ""),
            Row("`kedro run` without", time_of(bare), time_of(their_bare), ""),
        ],
    )
