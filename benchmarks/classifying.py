"""Serving texts, gaps and classes: one model by three servers, and one made by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd

from . import project, served, workload
from .measure import Command, clean_environment, run
from .project import Project
from .report import Row, Table
from .serving import CALLERS, WORKERS, Program, under_load

MOST_OF_MLFLOW, MOST_OF_HAND_MADE = 0.7, 1.05
_MLSERVER = ("mlserver==1.7.1", "mlserver-mlflow==1.7.1")
_APP = Path(__file__).with_name("fastapi_app.py")


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare ours with MLflow's server and MLServer of the same model, and with FastAPI."""
    place = _trained(rendered)
    model = served.registered(place)
    serve = ("models", "serve", "--env-manager", "local", "--model-uri", model)
    programs = [
        Program(place, [place.programs / "kedro", "mlflow", "serve"]),
        Program(place, [place.programs / "mlflow", *serve]),
        Program(place, [place.programs / "uvicorn", f"{_APP.stem}:app"]),
        _mlserver(rendered, model),
    ]
    body = project.BENCH / "penguin.json"
    row = pd.read_csv(place.folder / served.INSTANCES).head(1)
    body.write_text(json.dumps({"dataframe_records": row.to_dict("records")}), encoding="utf-8")
    return Table(
        "Serving a classifier",
        "The example `classification`: texts and gaps, a ColumnTransformer, gradient boosting; one "
        "row a request, its class and three probabilities in the answer. Ours is `kedro mlflow "
        "serve`. Theirs are three, in this order: `mlflow models serve` of the very same model; an "
        "application of FastAPI that checks with pydantic and pandera and calls scikit-learn "
        f"itself (benchmarks/fastapi_app.py); {' and '.join(_MLSERVER)} with the same model, which "
        "serves in its own process where it has one worker. Callers as under Serving: as many as "
        "workers where nothing else is said.",
        [row for workers in WORKERS for row in _rows(programs, workers, body)],
    )


def _mlserver(rendered: Project, model: Path) -> Program:
    """MLServer in an environment of its own, told by files what it serves."""
    folder = project.BENCH / "mlserver"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = {
        "name": "penguins",
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "parameters": {"uri": str(model)},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    # Its workers do not start with a newer uvloop.
    programs = workload.environment(rendered, "mlserver", *_MLSERVER, "uvloop<0.22")
    start: list[str | Path] = [programs / "mlserver", "start", folder]
    return Program(Project(folder, programs), start, prefix="MLSERVER_")


def _trained(rendered: Project) -> Project:
    """The example in the environment of the default project, with a model."""
    source, folder = project.template("template-of-classifier"), project.BENCH / "classifier"
    shutil.rmtree(folder, ignore_errors=True)
    command = [*project.copy_command(source, folder), "--data", "example=classification"]
    variables = clean_environment(os.environ)
    subprocess.run([*command, "--quiet"], env=variables, check=True)
    place = Project(folder, rendered.programs)
    run(Command([place.programs / "kedro", "run"], folder))
    shutil.copy(_APP, folder)
    return place


def _rows(programs: list[Program], workers: int, body: Path) -> list[Row]:
    alone, together = under_load(programs, workers, body)
    what = f"{workers} worker{'s' if workers > 1 else ''}"
    p50, p99 = ([1000 * each.percentile(percent) for each in alone] for percent in (50, 99))
    ours, mlflow, hand_made, _ = p50
    holds = ours <= MOST_OF_MLFLOW * mlflow and ours <= MOST_OF_HAND_MADE * hand_made
    bound = f"at most {MOST_OF_MLFLOW:g} x / {MOST_OF_HAND_MADE:g} x"
    rates = [each.rate for each in together]
    return [
        _row(f"{what}: p50", p50, "{:.2f} ms", bound, holds),
        _row(f"{what}: p99", p99, "{:.2f} ms"),
        _row(f"{what}, {CALLERS} callers: requests a second", rates, "{:,.0f}"),
    ]


def _row(
    what: str, figures: list[float], form: str, bound: str = "", holds: bool | None = None
) -> Row:
    ours, *others = figures
    theirs = " / ".join(form.format(each) for each in others)
    compared = " / ".join(f"{ours / each:.2f} x" for each in others)
    return Row(what, form.format(ours), theirs, compared, bound, holds)
