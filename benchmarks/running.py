"""Running: what tracking costs a run."""

from __future__ import annotations

from .measure import Command, Measurement, in_turns
from .project import Project
from .report import Row, Table, difference

MOST_SECONDS = 1.0


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare the training run with the same without the hook, and with MLflow's import."""
    with_hook, without = rendered.copy("with-hook"), rendered.without_hook("without-hook")
    python = rendered.programs / "python"
    ours, theirs, import_mlflow, nothing = in_turns(
        repetitions,
        Command([rendered.programs / "kedro", "run"], with_hook.folder),
        Command([rendered.programs / "kedro", "run"], without.folder),
        Command([python, "-c", "import mlflow"], rendered.folder),
        Command([python, "-c", "pass"], rendered.folder),
    )
    return Table(
        "Running the training pipeline",
        "Theirs is the same project with `HOOKS = ()`. The database is there already: the first "
        "run, which makes it, is not measured. What `import mlflow` takes is measured alongside, "
        "in a process that does nothing else.",
        [
            difference("`kedro run`", ours, theirs),
            difference("`import mlflow`; theirs: a Python without", import_mlflow, nothing),
            _what_is_left(ours, theirs, import_mlflow, nothing),
        ],
    )


def _what_is_left(
    ours: Measurement, theirs: Measurement, import_mlflow: Measurement, nothing: Measurement
) -> Row:
    tracking = ours.seconds - theirs.seconds
    importing = import_mlflow.seconds - nothing.seconds
    left = tracking - importing
    return Row(
        "What is left of tracking; theirs: `import mlflow`",
        f"{tracking:.2f} s",
        f"{importing:.2f} s",
        f"{left:+.2f} s",
        f"at most +{MOST_SECONDS:g} s",
        left <= MOST_SECONDS,
    )
