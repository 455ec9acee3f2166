"""The template's code: renewed by `kedro mlflow update`, never edited by the owner.

    cli.py  hook.py     the two entry points: Kedro's commands and Kedro's events
    commands/           one module per command of `kedro mlflow`
    serving/            the model behind an HTTP address
    reproduction/       a run, repeated and compared
    deployment/         the model on another machine, if an answer asks for it
    tuning/             a search for better parameters, if an answer asks for it
    orchestration/      one run over many tasks and machines
    migration/          runs of another MLflow, if an answer asks for it
    doctor/             checks of the set-up
    update/             `copier update`, made safe
    registry/           versions of the model, and their promotion
    monitoring/         drift and late truth, if an answer asks for it
    model/              the inference pipeline as a model
    tracking/           a run: captured, written to its journal, shipped to MLflow
    backend/            access to MLflow
    run_server.py  callers.py   Kedro's HTTP server; who may call a server
    validation/         tables and parameters, checked and refused in words
    config.py           mlflow.yml
    old_names.py        names of version 1, which work until version 4
    project.py  datasets.py     the project and its folders; a data set for fitted models
    errors.py           errors in a line
    redaction/          secrets, masked wherever text leaves

Imports go down this list only. The names in `PUBLIC` are for the project's own code; each is
imported when it is first used, so that `kedro --help` stays fast.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend.token_command import TokenCommand as TokenCommand
    from .datasets import SkopsDataset as SkopsDataset
    from .errors import TrackingError as TrackingError
    from .hook import MlflowHook as MlflowHook
    from .project import environment_variable as environment_variable
    from .project import load_environment as load_environment
    from .tracking.journal import Record as Record
    from .tracking.journal import all_records as all_records
    from .tracking.reports import report_metric as report_metric
    from .tracking.shipping import Sink as Sink
    from .validation import Parameters as Parameters
    from .validation.tables import validated as validated

PUBLIC = {
    "MlflowHook": "hook",
    "Parameters": "validation",
    "Record": "tracking.journal",
    "Sink": "tracking.shipping",
    "SkopsDataset": "datasets",
    "TokenCommand": "backend.token_command",
    "TrackingError": "errors",
    "all_records": "tracking.journal",
    "environment_variable": "project",
    "load_environment": "project",
    "report_metric": "tracking.reports",
    "validated": "validation.tables",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        return getattr(import_module(f".{PUBLIC[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if name != "TokenCommand" or error.name != f"{__name__}.{PUBLIC[name]}":
            raise
        raise AttributeError(
            "TokenCommand is part of projects that track on a server: run "
            "`uv run kedro mlflow update -d tracking_preset=server`"
        ) from error


if Path(__file__).with_name("old_names.py").is_file():  # The project began with version 1.
    from . import old_names

    old_names.install()
