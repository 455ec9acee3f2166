"""Every private name of MLflow, then of Kedro and CPython, that the template reaches for.

They may move in any release, and each function has a test that says what breaks then. `mlflow` is
imported when it is needed: a packaged model is loaded by processes that have none.
"""

import atexit
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from kedro.io import DataCatalog
    from kedro.pipeline.node import Node
    from mlflow.entities import Run, Span, TraceInfo
    from mlflow.pyfunc import PyFuncModel
    from mlflow.tracing.client import TracingClient
    from requests import Response
    from sqlalchemy import Engine


@contextmanager
def pointed_at(
    tracking_uri: str, registry_uri: str | None, experiment_id: str | None
) -> Iterator[None]:
    """Set the process's tracking URI, registry URI and active experiment, and put them back.

    The public getters return defaults where nothing was set: no use for putting back. MLflow's
    setters change environment variables as well, which the caller puts back.
    """
    fluent: Any = import_module("mlflow.tracking.fluent")
    registry = import_module("mlflow.tracking._model_registry.utils")
    tracking = import_module("mlflow.tracking._tracking_service.utils")
    with ExitStack() as undo:
        undo.callback(setattr, fluent, "_active_experiment_id", fluent._active_experiment_id)
        undo.callback(registry.set_registry_uri, registry._registry_uri)
        undo.callback(tracking.set_tracking_uri, tracking._tracking_uri)
        tracking.set_tracking_uri(tracking_uri)
        if registry_uri:
            registry.set_registry_uri(registry_uri)
        if experiment_id:
            fluent._active_experiment_id = experiment_id
        try:
            yield
        except GeneratorExit:  # A worker process ends: half of MLflow is gone already.
            undo.pop_all()


def active_runs() -> "list[Run]":
    """Return this thread's stack of active runs, to be changed in place."""
    from mlflow.tracking.fluent import _active_run_stack

    return cast("list[Run]", _active_run_stack.get())


def autologging_off() -> AbstractContextManager[None]:
    """Switch off autologging, which starts runs of its own: Databricks or a notebook has it on."""
    import mlflow  # noqa: F401  # The whole of it first: another thread may be importing it.
    from mlflow.utils.autologging_utils import disable_autologging

    return disable_autologging()


@contextmanager
def headers_from(provider: object) -> Iterator[None]:
    """Add a `RequestHeaderProvider` to those that MLflow's calls take headers from; remove it."""
    module = import_module("mlflow.tracking.request_header.registry")
    registry = module._request_header_provider_registry
    registry.register(lambda: provider)
    try:
        yield
    finally:
        registry._registry.remove(provider)


def quieten_mlflow() -> None:
    """Let MLflow's loggers, which have its modules' names, report nothing but warnings."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Environments made by uv hold no pip, which MLflow misses each time it saves a model.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # What a database refuses is raised as well, and reported by the caller.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def forget_connections() -> None:
    """Let a forked worker open database connections of its own: its parent uses those it has."""
    if store := sys.modules.get("mlflow.store.tracking.sqlalchemy_store"):
        for engine in store.SqlAlchemyStore._engine_map.values():
            engine.dispose(close=False)


def initialize_tables(engine: "Engine") -> None:
    """Make MLflow's tables in an empty database by MLflow's own migrations."""
    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)


def upload_spans(tracing: "TracingClient", trace: "TraceInfo", spans: "Iterable[Span]") -> None:
    """Upload a trace's spans as a file, as MLflow's own exporter does for Databricks."""
    from mlflow.entities import TraceData

    tracing._upload_trace_data(trace, TraceData(list(spans)))


def get_response(uri: str, path: str, seconds: float) -> "Response":
    """Send a GET request to a tracking server with the credentials and certificates of a run."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    request: Callable[..., Response] = http_request
    creds = get_default_host_creds(uri)
    return request(creds, path, "GET", max_retries=0, timeout=seconds, raise_on_status=False)


def databricks_host(uri: str) -> str:
    """Return the address of the Databricks workspace that a tracking URI means."""
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    return str(get_databricks_host_creds(uri).host).rstrip("/")


def unchecked_predict(model: "PyFuncModel") -> Callable[..., Any]:
    """Return a loaded model's prediction without MLflow's check of its input before it."""
    return cast("Callable[..., Any]", model._model_impl.predict)


def json_value(value: Any) -> Any:
    """Turn what JSON does not know, such as numbers of NumPy, into what MLflow serves for it."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    return NumpyEncoder().default(value)


def call_node(node: "Node", values: Mapping[str, Any]) -> Any:
    """Call a node with its inputs; `Node.inputs` does not say which argument each is for."""
    inputs = node._inputs
    if isinstance(inputs, dict):
        return node.func(**{argument: values[name] for argument, name in inputs.items()})
    return node.func(*(values[name] for name in node.inputs))


def node_outputs(node: "Node", result: Any) -> dict[str, Any]:
    """Return what a node's function has returned, by data set; a ValueError if it does not fit."""
    return node._outputs_to_dictionary(result)


def send_with_catalog(catalog: "DataCatalog", name: str, value: Any) -> None:
    """Let a catalog carry an object to worker processes, in its `__dict__`, which is pickled."""
    catalog.__dict__[name] = value


class Storage(NamedTuple):
    """Where a data set keeps its data."""

    uri: str  # A path on this machine, or an address with its protocol.
    path: str  # The same as the data set has it.
    files: "AbstractFileSystem | None"


def storage_of(dataset: Any, saved: bool = False) -> Storage | None:
    """Return where a data set loads from, or saves to; none if it has no such place.

    Kedro's base classes promise no attribute for it: these are the names in kedro-datasets.
    """
    dataset = uncached(dataset)
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    if path is None:
        return None
    if getattr(dataset, "_version", None):
        version = dataset.resolve_save_version() if saved else dataset.resolve_load_version()
        path = dataset._get_versioned_path(version)
    path, protocol = str(path), getattr(dataset, "_protocol", "file")
    files = getattr(dataset, "_fs", None) or getattr(dataset, "_filesystem", None)
    uri = path if protocol in ("file", "local") or "://" in path else f"{protocol}://{path}"
    return Storage(uri, path, files)


def uncached(dataset: Any) -> Any:
    """Return the data set inside a `CachedDataset`, and any other as it is."""
    return getattr(dataset, "_dataset", dataset)


def path_within(files: "AbstractFileSystem", path: str) -> str:
    """Return a path as a file system of fsspec's names it, without protocol."""
    return str(files._strip_protocol(path))


def before_thread_pools_end(function: Callable[[], None]) -> None:
    """Call a function at exit while thread pools still work; `atexit` comes after their end."""
    getattr(threading, "_register_atexit", atexit.register)(function)
