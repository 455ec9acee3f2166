"""Tuning: what a trial takes beside its pipeline, and what a second process brings."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from . import project, workload
from .measure import Command, in_turns
from .project import Project
from .report import Row, Table

_HERE = Path(__file__).parent
_FEW, _MANY, _SLOW = 10, 40, 100
_MOST_SECONDS, _LEAST_FASTER = 0.35, 1.8
_TUNING = "metric: loss\nsearch:\n  alpha: {low: 0, high: 10}\n"
_PARAMETERS = "alpha: 1.0\ncount: 10\nseconds: SECONDS\n"
_OF_TUNING = ("tuning", "commands/tune.py")


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare a search with the bare pipeline, and with the same search by hand."""
    programs = workload.environment(rendered, "tuning", _wanted(), "psutil", "python-dotenv")
    ours = _prepared(rendered.copy("tuning-ours"), programs, 0)
    slow = _prepared(rendered.copy("tuning-slow"), programs, 0.5)
    by_hand = _prepared(rendered.bare("tuning-by-hand"), programs, 0)
    shutil.copyfile(_HERE / "tuned_by_hand.py", by_hand.folder / "tuned_by_hand.py")
    searches = [_tune(ours, trials) for trials in (_FEW, _MANY)]
    searches += [
        Command([programs / "python", "tuned_by_hand.py", how, str(trials)], by_hand.folder)
        for how in ("bare", "nested", "storage")
        for trials in (_FEW, _MANY)
    ]
    took = [each.seconds for each in in_turns(repetitions, *searches)]
    trial, bare, nested, storage = (
        (many - few) / (_MANY - _FEW) for few, many in zip(took[::2], took[1::2], strict=True)
    )
    slow_searches = [_tune(slow, 1), _tune(slow, _SLOW), _tune(slow, _SLOW, jobs=2)]
    _, one, two = in_turns(1, *slow_searches, warm_up=False)  # The first makes the database.
    return Table(
        "Tuning",
        f"Searches of {_FEW} and of {_MANY} trials, tracked in SQLite: their difference is what a "
        "trial takes, without start and end. The pipeline has two nodes that do nothing; alone, it "
        "runs by Kedro's `SequentialRunner` in one process, without a session. By hand, the same "
        "search is Optuna with `mlflow.start_run(nested=True)` around that, in memory, or with "
        "`mlflow.optuna`'s storage; both log parameters and the metric, no more. The last row is a "
        f"whole command of {_SLOW} trials whose node sleeps for 0.5 s.",
        [
            Row(
                "a trial, beside the pipeline alone",
                f"{1000 * trial:.0f} ms",
                f"{1000 * bare:.0f} ms",
                f"{trial - bare:+.3f} s",
                f"at most {_MOST_SECONDS:+g} s",
                trial - bare <= _MOST_SECONDS,
            ),
            Row(
                "a trial, beside `start_run(nested=True)` by hand",
                f"{1000 * trial:.0f} ms",
                f"{1000 * nested:.0f} ms",
                f"{trial - nested:+.3f} s",
            ),
            Row(
                "a trial, beside `mlflow.optuna`",
                f"{1000 * trial:.0f} ms",
                f"{1000 * storage:.0f} ms",
                f"{trial - storage:+.3f} s",
            ),
            Row(
                f"{_SLOW} trials of 0.5 s, two processes beside one",
                f"{two.seconds:.1f} s",
                f"{one.seconds:.1f} s",
                f"{one.seconds / two.seconds:.2f} x as fast",
                f"at least {_LEAST_FASTER:g} x",
                one.seconds / two.seconds >= _LEAST_FASTER,
            ),
        ],
    )


def _wanted() -> str:
    """The range of Optuna's versions that a project asks for."""
    text = (project.REPOSITORY / "template" / "pyproject.toml.jinja").read_text(encoding="utf-8")
    return next(line.split('"')[1] for line in text.splitlines() if "optuna>=" in line)


def _tune(place: Project, trials: int, jobs: int = 1) -> Command:
    options = ["--no-run", "--trials", str(trials), "--jobs", str(jobs)]
    return Command([place.programs / "kedro", "mlflow", "tune", *options], place.folder)


def _prepared(place: Project, programs: Path, seconds: float) -> Project:
    """Give the project the pipeline, and what a project with the feature has."""
    mlops = project.REPOSITORY / "template" / "src" / "{{ package_name }}" / "mlops"
    for name in _OF_TUNING:
        source, target = mlops / name, place.package / "mlops" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    shutil.copyfile(_HERE / "tuned_nodes.py", place.package / "pipeline_registry.py")
    conf = place.folder / "conf" / "base"
    (conf / "catalog.yml").write_text("", encoding="utf-8")
    (conf / "tuning.yml").write_text(_TUNING, encoding="utf-8")
    parameters = _PARAMETERS.replace("SECONDS", str(seconds))
    (conf / "parameters.yml").write_text(parameters, encoding="utf-8")
    if (conf / "mlflow.yml").is_file():
        workload.register_no_model(place)
    return replace(place, programs=programs)
