"""The template's code: renewed by `kedro mlflow update`, edited by nobody.

    cli.py  hook.py     the two entry points: Kedro's commands and Kedro's events
    commands/           one module per command of `kedro mlflow`
    serving/            the model behind an HTTP address
    deployment/         the model on another machine, if an answer asks for it
    migration/          runs of another MLflow, if an answer asks for it
    doctor/             checks of the set-up
    update/             `copier update`, made safe
    registry/           versions of the model, and their promotion
    model/              the inference pipeline as a model
    tracking/           a run: captured, written to its journal, shipped to MLflow
    backend/            access to MLflow
    validation/         tables and parameters, checked and refused in words
    config.py           mlflow.yml

Imports go down this list only. The names in `__all__` are for the project's own code; each is
imported when it is first used, so that `kedro --help` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend.token_command import TokenCommand
    from .config import environment_variable
    from .datasets import SkopsDataset
    from .errors import TrackingError
    from .hook import MlflowHook
    from .project import load_environment
    from .tracking.journal import Record, all_records
    from .tracking.shipping import Sink
    from .validation import Parameters
    from .validation.tables import validated

__all__ = [
    "MlflowHook",
    "Parameters",
    "Record",
    "Sink",
    "SkopsDataset",
    "TokenCommand",
    "TrackingError",
    "all_records",
    "environment_variable",
    "load_environment",
    "validated",
]

_MODULES = {
    "MlflowHook": "hook",
    "Parameters": "validation",
    "Record": "tracking.journal",
    "Sink": "tracking.shipping",
    "SkopsDataset": "datasets",
    "TokenCommand": "backend.token_command",
    "TrackingError": "errors",
    "all_records": "tracking.journal",
    "environment_variable": "config",
    "load_environment": "project",
    "validated": "validation.tables",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
