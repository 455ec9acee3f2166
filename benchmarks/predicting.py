"""Predicting: what the packaged pipeline adds to its functions, in one process."""

from __future__ import annotations

import json
from pathlib import Path

from . import served, workload
from .measure import Command, Measurement, Sample, run
from .project import Project
from .report import Row, Table, ratio

# Calls with one row, and with a thousand.
_CALLS = ("2000", "500")
MOST = 1.3
# Of a table that is checked, and what that may take of pandera's own time.
_CHECKED_ROWS = 100_000
MOST_OF_CHECKING = 1.2


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare the models in turns, each time in new processes."""
    models = served.trained(rendered)
    commands = [
        _predict(models.place, models.ours, models.rows),
        _predict(models.place, models.plain, models.rows),
        _predict(models.their_place, models.theirs, models.rows),
    ]
    rounds = [[_samples(command) for command in commands] for _ in range(repetitions)]
    ours, plain, theirs = zip(*rounds, strict=True)
    rows: list[Row] = []
    for number, what in enumerate(("one row", "1,000 rows")):
        own, of_functions, of_theirs = (
            Measurement([samples[number] for samples in each]) for each in (ours, plain, theirs)
        )
        rows += [
            ratio(
                f"{what}; theirs: a plain pyfunc", own, of_functions, MOST if not number else None
            ),
            ratio(f"{what}; theirs: kedro-mlflow", own, of_theirs),
            ratio(f"{what}; kedro-mlflow and a plain pyfunc", of_theirs, of_functions),
        ]
    rows += _checking(repetitions, rendered)
    return Table(
        "Predicting in a process",
        "The registered model, the functions of its pipeline (validate, prepare, predict) called "
        "one after another in a plain MLflow pyfunc with the same signature, and the model that "
        f"{workload.KEDRO_MLFLOW} logs of a pipeline with these functions. Times are those of "
        "`predict` on the loaded model; medians over the calls of a process, then over processes. "
        "Below, tables of ten columns of mixed types are checked against a pandera model, by the "
        "template and by pandera itself.",
        rows,
    )


def _checking(repetitions: int, place: Project) -> list[Row]:
    script = Path(__file__).with_name("validate.py")
    python = place.programs / "python"
    command = Command(
        [python, script, place.package.name, str(_CHECKED_ROWS), "2000"], place.folder
    )
    told = [json.loads(run(command).output.splitlines()[-1]) for _ in range(repetitions)]

    def measured(what: str) -> Measurement:
        return Measurement([Sample(each["seconds"][what], each["memory"]) for each in told])

    return [
        ratio(
            f"checking {what}; theirs: pandera",
            measured(key),
            measured(f"{key}, pandera"),
            MOST_OF_CHECKING,
        )
        for key, what in {
            "one": "one row",
            "typed": f"{_CHECKED_ROWS:,} rows",
            "read": f"{_CHECKED_ROWS:,} rows as CSV has them",
        }.items()
    ] + [ratio("checking one row; theirs: of ten numbers", measured("one"), measured("numbers"))]


def _predict(place: Project, model: Path, rows: Path) -> Command:
    script = Path(__file__).with_name("predict.py")
    return Command([place.programs / "python", script, model, rows, *_CALLS], place.folder)


def _samples(command: Command) -> list[Sample]:
    told = json.loads(run(command).output.splitlines()[-1])
    return [Sample(seconds, told["memory"]) for seconds in told["seconds"]]
