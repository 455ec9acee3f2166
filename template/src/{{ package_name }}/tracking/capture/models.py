"""Models: fitted estimators that a node returns, saved in the flavour of their library."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..quiet import quieten_mlflow


def save_model(value: Any, folder: Path) -> bool:
    """Save a model of a known library beside the journal, in MLflow's format.

    Args:
        value: what a node returned.
        folder: where to; must not exist yet.

    Returns:
        Whether the value is a model and was saved.
    """
    for module, save in _FLAVORS.items():
        if hasattr(value, "predict") and any(
            base.__module__.split(".")[0] == module for base in type(value).__mro__
        ):
            save(value, folder)
            return True
    return False


def _save_sklearn(model: Any, folder: Path) -> None:
    import mlflow.sklearn
    from skops.io import dumps, get_untrusted_types

    quieten_mlflow()
    # MLflow's default, skops, loads nothing but types it trusts: a custom transformer is saved and
    # never loads again.
    trusted = not get_untrusted_types(data=dumps(model))
    packages = ("mlflow", "scikit-learn", "skops" if trusted else "cloudpickle")
    mlflow.sklearn.save_model(
        model,
        folder,
        serialization_format="skops" if trusted else "cloudpickle",
        # Given, for else MLflow starts a process that loads the model to find out: 14 to 18 s.
        pip_requirements=[f"{package}=={version(package)}" for package in packages],
    )


_FLAVORS: dict[str, Callable[[Any, Path], None]] = {"sklearn": _save_sklearn}
