"""Models: fitted models that a node returns, saved in the flavour of their library."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...backend.client import muted
from ...config import ModelsOptions
from ...mlflow_internals import quieten_mlflow
from .foreign import classes_of


@dataclass(frozen=True)
class Flavor:
    """How models of one library are recognised and saved."""

    name: str  # Of MLflow's module for them.
    attributes: tuple[str, ...]  # What an object of this library has if it is a model.
    # What loading it takes, besides MLflow, and other names of the same package; those that are not
    # installed are left out.
    packages: tuple[str, ...]
    format: Callable[[Any], str] | None = None  # How it is written, where MLflow leaves that open.
    backend: Callable[[], str] | None = None  # What does the work, where the user has chosen.


def flavor_of(value: Any) -> Flavor | None:
    """Recognise a model by the library of its class, or of the nearest base class.

    A model of LightGBM is one of scikit-learn too, and one of Keras may be one of PyTorch.
    """
    for library, _ in classes_of(value):
        flavor = _FLAVORS.get(library)
        if flavor and all(hasattr(value, name) for name in flavor.attributes):
            return flavor
    return None


def save_model(model: Any, folder: Path) -> None:
    """Save a model that ``flavor_of`` knows in MLflow's format; the folder must not exist."""
    flavor = flavor_of(model)
    assert flavor
    quieten_mlflow()
    options: dict[str, Any] = {}
    packages = ("mlflow", *flavor.packages, *_packages_inside(model))
    if flavor.backend:
        packages += (flavor.backend(),)
    if flavor.format:
        options["serialization_format"] = name = flavor.format(model)
        # MLflow's module for PyTorch calls cloudpickle so.
        packages += ("cloudpickle" if name == "pickle" else name,)
    # Given, for else MLflow starts a process that loads the model to find out: 14 to 18 s.
    options["pip_requirements"] = _pinned(packages)
    module = import_module(f"mlflow.{flavor.name}")
    with muted("mlflow"):  # It warns of each pickle, and of models without a signature.
        if flavor.name == "pyfunc":
            with TemporaryDirectory() as nothing:
                # Else MLflow copies the pyproject.toml and uv.lock of the working directory,
                # private indexes and all.
                options["uv_project_path"] = nothing
                module.save_model(str(folder), python_model=model, **options)
        else:
            module.save_model(model, str(folder), **options)


def registered_name(name: str, options: ModelsOptions) -> str | None:
    """Return the name under which mlflow.yml has a model registered, by the first pattern."""
    fits = (given for pattern, given in options.register_as.items() if fnmatchcase(name, pattern))
    return next(fits, None)


def _sklearn_format(model: Any) -> str:
    """Choose skops where that works.

    MLflow loads only types that skops trusts: a forest or a custom transformer would be saved and
    never load again, and what holds a lambda is not even saved.
    """
    try:
        from skops.io import dumps, get_untrusted_types

        return "cloudpickle" if get_untrusted_types(data=dumps(model)) else "skops"
    except Exception:  # Whatever skops cannot do, cloudpickle can.
        return "cloudpickle"


_FLAVORS = {
    "sklearn": Flavor("sklearn", ("fit", "predict"), ("scikit-learn",), _sklearn_format),
    "xgboost": Flavor(
        "xgboost", ("predict", "save_model"), ("xgboost", "xgboost-cpu", "scikit-learn")
    ),
    "lightgbm": Flavor(
        "lightgbm", ("predict",), ("lightgbm", "scikit-learn"), lambda model: "cloudpickle"
    ),
    "catboost": Flavor("catboost", ("predict", "save_model"), ("catboost",)),
    # The other format is a trace of one call, which takes an example of the input.
    "torch": Flavor("pytorch", ("forward", "state_dict"), ("torch",), lambda model: "pickle"),
    "keras": Flavor(
        "keras",
        ("predict", "save"),
        ("keras",),
        backend=lambda: str(import_module("keras").config.backend()),
    ),
    "statsmodels": Flavor("statsmodels", ("predict", "save"), ("statsmodels",)),
    "onnx": Flavor("onnx", ("graph", "opset_import"), ("onnx", "onnxruntime", "onnxruntime-gpu")),
    "mlflow": Flavor("pyfunc", ("load_context", "predict"), ("cloudpickle",)),
}


def _packages_inside(model: Any) -> tuple[str, ...]:
    """List the packages of a scikit-learn pipeline's steps, or of any model made of models."""
    if not hasattr(model, "get_params"):
        return ()
    flavors = {flavor_of(part) for part in model.get_params().values()}
    return tuple(package for flavor in flavors if flavor for package in flavor.packages)


def _pinned(packages: Iterable[str]) -> list[str]:
    """Pin those packages that are installed to their versions."""
    pinned = []
    for package in sorted(set(packages)):
        try:
            pinned.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return pinned
