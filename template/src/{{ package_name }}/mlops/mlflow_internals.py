"""Every private name of MLflow, Kedro, pandas, h11 and CPython that the template reaches for.

They may move in any release, and each function has a test that says what breaks then. `mlflow` is
imported when it is needed: a packaged model is loaded by processes that have none.
"""

import atexit
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from copy import copy
from functools import partial, wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from fsspec import AbstractFileSystem
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from kedro.runner import Task
    from kedro.validation import PanderaValidator
    from mlflow.entities import Metric, Run, Span, TraceInfo
    from mlflow.pyfunc import PyFuncModel
    from mlflow.tracing.client import TracingClient
    from pandas import DataFrame
    from requests import Response
    from sqlalchemy import Engine

_PROJECT = "kedro.framework.project"
_LOGGING = "KEDRO_LOGGING_CONFIG"
_ONE_PROJECT = threading.RLock()
_registry_lock = threading.Lock()
_run_id_lock = threading.Lock()
# Returns the scope of the calling thread, if any: an object with a `tracking_uri`, the
# `experiment_id` of new runs, and a `stack()` of active runs to be changed in place. It is told
# whether the thread has an active run of its own.
_FindScope = Callable[[bool], Any]


@contextmanager
def pointed_at(
    tracking_uri: str, registry_uri: str | None, find_scope: _FindScope
) -> Iterator[None]:
    """Let MLflow's functions find a server and active runs, and put back what they found before.

    The public getters return defaults where nothing was set: no use for putting back. MLflow's
    setters change environment variables as well, which the caller puts back. Where MLflow is not
    imported yet, it is changed as soon as it is: until then the environment says where to go.
    """
    undo = ExitStack()
    is_imported = "mlflow.tracking.fluent" in sys.modules

    def change(fluent: Any) -> None:
        registry = sys.modules["mlflow.tracking._model_registry.utils"]
        tracking = sys.modules["mlflow.tracking._tracking_service.utils"]
        undo.callback(setattr, fluent, "_active_experiment_id", fluent._active_experiment_id)
        undo.callback(fluent._last_active_run_id.set, fluent._last_active_run_id.get())
        undo.callback(registry.set_registry_uri, registry._registry_uri)
        undo.callback(tracking.set_tracking_uri, tracking._tracking_uri)
        if is_imported:  # Else the environment says it, and setting it would import the rest.
            tracking.set_tracking_uri(tracking_uri)
            registry.set_registry_uri(registry_uri or registry._registry_uri)
        stacks = partial(_RunStacks, find_scope)
        undo.enter_context(replaced(fluent, "_active_run_stack", stacks))
        for module, getter, variable, attribute in (
            (fluent, "_get_experiment_id", "_active_experiment_id", "experiment_id"),
            (tracking, "get_tracking_uri", "_tracking_uri", "tracking_uri"),
        ):
            finder = partial(_finder, find_scope, fluent, module, variable, attribute)
            undo.enter_context(replaced(module, getter, finder))

    with undo, when_imported("mlflow.tracking.fluent", change):
        try:
            yield
        except GeneratorExit:  # A worker process ends: half of MLflow is gone already.
            undo.pop_all()


class _RunStacks:
    """Takes the place of MLflow's variable that holds each thread's stack of active runs."""

    def __init__(self, find_scope: _FindScope, own: Any) -> None:
        self._find_scope, self.own = find_scope, getattr(own, "own", own)

    def get(self) -> "list[Run]":
        own: list[Run] = self.own.get()
        # MLflow ends what is active at Python's end: in a worker, that is the run of all.
        scope = threading.main_thread().is_alive() and self._find_scope(bool(own))
        return cast("list[Run]", scope.stack()) if scope else own

    def get_all_thread_values(self) -> "dict[int, list[Run]]":
        return {**self.own.get_all_thread_values(), threading.get_ident(): self.get()}


def _finder(
    find_scope: _FindScope,
    fluent: Any,
    module: Any,
    variable: str,
    attribute: str,
    ask: Callable[[], str],
) -> Callable[[], str]:
    """Runs at once may have different ones; what code has set meanwhile is for all threads."""
    before = getattr(module, variable)

    def find() -> str:
        scope = find_scope(bool(fluent._active_run_stack.own.get()))
        chosen_since = getattr(module, variable) != before
        return str(getattr(scope, attribute)) if scope and not chosen_since else ask()

    return find


def own_active_runs() -> "list[Run]":
    """Return this thread's stack of the runs that its own code has made active."""
    from mlflow.tracking import fluent

    stacks = fluent._active_run_stack
    return cast("list[Run]", getattr(stacks, "own", stacks).get())


@contextmanager
def replaced(owner: Any, name: str, replacement: Callable[[Any], Any]) -> Iterator[None]:
    """Replace an attribute of a class or module by what a function makes of it; put it back.

    What somebody else has put over it meanwhile stays.
    """
    before = getattr(owner, name)
    now = replacement(before)
    setattr(owner, name, now)
    try:
        yield
    finally:
        if getattr(owner, name) is now:
            setattr(owner, name, before)


@contextmanager
def environment_restored(*prefixes: str) -> Iterator[None]:
    """Put environment variables with names that begin so back as they were."""
    found = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(prefixes)]:
            if name not in found:
                del os.environ[name]
        os.environ.update(found)


@contextmanager
def when_imported(name: str, change: Callable[[Any], None]) -> Iterator[None]:
    """Change a module: now, or while this lasts at the end of its import, in whatever thread."""
    if name in sys.modules:
        change(import_module(name))  # Waits for an import that is under way.
        yield
        return
    finder = _ChangeAtImport(name, change)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.remove()


def import_mlflow() -> None:
    """Import `mlflow`, and its parts for language models when somebody uses them.

    They are a third of the time that the import takes. MLflow itself does so with its flavors.
    """

    def defer(mlflow: Any) -> None:
        vars(mlflow).update({name: _Deferred(f"mlflow.{name}") for name in ("genai", "gateway")})

    finder = _ChangeAtImport("mlflow", lambda _: None, defer)
    sys.meta_path.insert(0, finder)
    try:
        import_module("mlflow")
    finally:
        finder.remove()


class _Deferred(ModuleType):
    """Stands for a module that is imported at the first use; the import puts it in its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)

    def __dir__(self) -> "list[str]":
        return dir(import_module(self.__name__))


class _ChangeAtImport(MetaPathFinder):
    def __init__(
        self,
        name: str,
        change: Callable[[Any], None],
        prepare: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._name, self._change, self._prepare = name, change, prepare

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> "ModuleSpec | None":
        """Let the other finders find the module, and its loader change it."""
        if name != self._name:
            return None
        self.remove()
        spec = find_spec(name)
        if spec and spec.loader:
            loader, execute = spec.loader, spec.loader.exec_module

            def execute_and_change(module: ModuleType) -> None:
                self._prepare(module)
                execute(module)
                self._change(module)

            loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec

    def remove(self) -> None:
        """Find nothing any more."""
        with suppress(ValueError):
            sys.meta_path.remove(self)


@contextmanager
def registry_asks(client: object) -> Iterator[None]:
    """Let a registry in a database look up ``models:/…`` by this client.

    It would make one of its own, for the process's tracking URI.
    """
    store: Any = import_module("mlflow.store.model_registry.sqlalchemy_store")
    with _registry_lock, replaced(store, "MlflowClient", lambda _: lambda: client):
        yield


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
    levels = {"mlflow": logging.WARNING, "psycopg": logging.ERROR}
    # Environments made by uv hold no pip, which MLflow misses each time it saves a model. What a
    # database refuses is raised as well; that a run has a model's metrics already is caught.
    levels |= {"mlflow.utils.environment": logging.ERROR, "mlflow.store.db.utils": logging.FATAL}
    for name, level in levels.items():
        if logging.getLogger(name).level != level:  # Else each call clears all loggers' caches.
            logging.getLogger(name).setLevel(level)


def forget_connections() -> None:
    """Let a forked worker open database connections of its own: its parent uses those it has."""
    if store := sys.modules.get("mlflow.store.tracking.sqlalchemy_store"):
        for engine in store.SqlAlchemyStore._engine_map.values():
            engine.dispose(close=False)


def initialize_tables(engine: "Engine") -> None:
    """Make MLflow's tables in an empty database by MLflow's own migrations."""
    from mlflow.store.db.utils import _initialize_tables
    from mlflow.tracking._model_registry import registry
    from mlflow.tracking._tracking_service import registry as runs

    # Two migrations at once break each other, and a node may open a database as well.
    with runs._building_store_lock, registry._building_store_lock:
        _initialize_tables(engine)


def latest_points(run: "Run") -> "dict[str, Metric]":
    """Return the latest point of each metric, by its name; public names have the value alone."""
    return {each.key: each for each in run.data._metric_objs}


def tracing_client(uri: str) -> "TracingClient":
    """Return a client of traces that reads and writes their files at its own tracking URI.

    MLflow's own asks the process's, for spans that are kept as a file.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.tracing.client import TracingClient
    from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    class Client(TracingClient):
        def _get_artifact_repo_for_trace(self, trace_info: "TraceInfo") -> Any:
            location = get_artifact_uri_for_trace(trace_info)
            location = add_databricks_profile_info_to_artifact_uri(location, uri)
            return get_artifact_repository(location, tracking_uri=uri)

    return Client(uri)


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


def path_to_load(folder: Path, scratch: Path) -> Path:
    """Return a path of a model by which MLflow loads it: it reads some as parts of a URI.

    Such a path goes through a link in a folder of one's own, which must stay as long as the model.
    """
    if not {"%", "?", "#"} & set(str(folder)):
        return folder
    (scratch / "models").symlink_to(folder.parent)
    return scratch / "models" / folder.name


@contextmanager
def tasks_watched(watch: "Callable[[Task], AbstractContextManager[None]]") -> Iterator[None]:
    """Watch Kedro's tasks: a node with its loads and saves. No hook is told of their errors."""
    from kedro.runner import Task

    def watched(execute: "Callable[[Task], Node]") -> "Callable[[Task], Node]":
        @wraps(execute)
        def execute_watched(task: "Task") -> "Node":
            with watch(task):
                return execute(task)

        return execute_watched

    with replaced(Task, "execute", watched):
        yield


def answered_status(error: BaseException) -> int | None:
    """Return the HTTP status of the answer that an error was made of; none if there was none.

    MLflow's client does not keep it, and calls what it has no name for, such as 413, a 500. It is
    in a local variable of the function that has raised the error.
    """
    answers = [getattr(error, "response", None)]
    trace = error.__traceback__
    while trace:
        answers.append(trace.tb_frame.f_locals.get("response"))
        trace = trace.tb_next
    statuses = [getattr(each, "status_code", None) for each in reversed(answers)]
    return next((each for each in statuses if isinstance(each, int) and each >= 400), None)


def ask_for_all_pipelines() -> None:
    """Let Kedro ask the registry for all pipelines, once, when it is about to ask for some.

    `find_pipelines()` leaves out those that a run does not name: the model's may be among them. One
    that is broken costs no run and no warning, unless the run has asked for it.
    """
    from kedro.framework.project import pipelines

    if not (requested := pipelines._requested_pipelines):
        return
    pipelines.set_requested(None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            complete = set(requested) <= pipelines.keys()
    except Exception:
        complete = False
    if not complete:  # Kedro says what is wrong with those that it is asked for.
        pipelines.set_requested(requested)


def tell_runs_apart() -> None:
    """Let Kedro give no two runs of this process one run id, which is their save version too.

    It is a time in milliseconds, and a program may begin several runs at once.
    """
    from kedro.framework.session import service_session, session

    modules: list[Any] = [session, service_session]
    taken = ""

    def unique(ask: Callable[[], str]) -> Callable[[], str]:
        @wraps(ask)
        def find() -> str:
            nonlocal taken
            with _run_id_lock:
                while (run_id := ask()) == taken:
                    time.sleep(0.0002)
                taken = run_id
            return run_id

        return find

    if not hasattr(modules[0].generate_timestamp, "__wrapped__"):
        for module in modules:
            module.generate_timestamp = unique(module.generate_timestamp)


def loaded_pipelines(package: str, wanted: Iterable[str]) -> "dict[str, Pipeline]":
    """Return the pipelines that Kedro holds for the project; none if it has not been configured."""
    kedro = sys.modules.get(_PROJECT)
    if kedro is None or package != kedro.PACKAGE_NAME:
        return {}
    pipelines = kedro.pipelines
    if (requested := pipelines._requested_pipelines) and not set(wanted) <= pipelines.keys():
        pipelines.set_requested([*requested, *wanted])
    return dict(pipelines)


@contextmanager
def kedro_logs_nothing() -> Iterator[None]:
    """Let an import of Kedro's framework leave logging alone: here it is another program's."""
    if _PROJECT in sys.modules:
        yield
        return
    with TemporaryDirectory() as folder, environment_restored(_LOGGING):
        path = Path(folder, "logging.yml")
        path.write_text("{version: 1, incremental: true}", encoding="utf-8")
        os.environ[_LOGGING] = str(path)
        yield


@contextmanager
def kedro_finds_pipelines_of(package: str) -> Iterator[None]:
    """Let `find_pipelines()` find all of a package, where Kedro runs no project or another one."""
    if not (kedro := sys.modules.get(_PROJECT)):
        yield
        return
    with (
        _ONE_PROJECT,
        replaced(kedro, "PACKAGE_NAME", lambda _: package),
        replaced(kedro.pipelines, "_requested_pipelines", lambda _: None),
    ):
        yield


def call_node(node: "Node", values: Mapping[str, Any]) -> Any:
    """Call a node with its inputs; `Node.inputs` does not say which argument each is for."""
    inputs = node._inputs
    if isinstance(inputs, dict):
        return node.func(**{argument: values[name] for argument, name in inputs.items()})
    return node.func(*(values[name] for name in node.inputs))


def node_wiring(node: "Node") -> str:
    """Describe which data set is which argument of a node, and which of its outputs."""
    return f"{node._inputs!r} -> {node._outputs!r}"


def replace_nodes(pipeline: "Pipeline", nodes: "Iterable[Node]") -> None:
    """Let a run's pipeline have other nodes: Kedro's runner gets the object that its hooks get."""
    vars(pipeline).clear()
    pipeline.__init__(nodes)  # type: ignore[misc]


def node_outputs(node: "Node", result: Any) -> dict[str, Any]:
    """Return what a node's function has returned, by data set; a ValueError if it does not fit."""
    return node._outputs_to_dictionary(result)


def change_entry(catalog: "DataCatalog", name: str, validator: Any, **options: Any) -> None:
    """Create a data set again from its catalog entry, with other options and another validator."""
    entry = dict(catalog[name]._init_config())
    if "dataset" in entry:  # A CachedDataset has the options' owner inside.
        entry["dataset"] = {**entry["dataset"], **options}
    else:
        entry |= options
    entry |= {"validator": validator} if validator else {}
    catalog._add_from_config(name, {key: entry[key] for key in entry if entry[key] is not None})


class Storage(NamedTuple):
    """Where a data set keeps its data."""

    uri: str  # A path on this machine, or an address with its protocol.
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
    return Storage(uri, files)


def uncached(dataset: Any) -> Any:
    """Return the data set inside a `CachedDataset`, and any other as it is."""
    from kedro.io import AbstractDataset

    inside = getattr(dataset, "__dict__", {}).get("_dataset")
    return inside if issubclass(type(inside), AbstractDataset) else dataset


def draws(dataset: Any) -> bool:
    """Return whether a data set saves matplotlib figures, one or, in partitions, several."""
    dataset = uncached(dataset)
    kind = getattr(dataset, "__dict__", {}).get("_dataset_type", type(dataset))
    return getattr(kind, "__name__", "") == "MatplotlibDataset"


def suffix_of_partitions(dataset: Any) -> str:
    """Return what a partitioned data set puts behind each partition's name."""
    return str(getattr(uncached(dataset), "__dict__", {}).get("_filename_suffix", ""))


def values_in_memory(catalog: "DataCatalog", name: str) -> list[Any]:
    """Return what a data set holds in memory, as it is and not a copy; empty if it has none there.

    Loading it may copy what cannot be copied, or read what is far away.
    """
    from kedro.io import MemoryDataset
    from kedro.io.memory_dataset import _EMPTY

    dataset = getattr(catalog, "_datasets", {}).get(name)
    if not isinstance(dataset, MemoryDataset) or dataset._data is _EMPTY:
        return []
    return [dataset._data]


def is_in_memory(catalog: "DataCatalog", name: str) -> bool:
    """Return whether a data set keeps its value in the memory of the process that saves it."""
    from kedro.io import MemoryDataset

    return isinstance(getattr(catalog, "_datasets", {}).get(name), MemoryDataset)


def with_values(
    catalog: "DataCatalog", values: Mapping[str, Any], empty: Iterable[str]
) -> "DataCatalog":
    """Copy a catalog whose data sets are the same but for those in memory: they have these values.

    Saving a value would copy it. Those that are empty are to be saved.
    """
    from kedro.io.memory_dataset import _EMPTY

    changed: Any = copy(catalog)
    changed._datasets = dict(changed._datasets)
    for name, value in {**dict.fromkeys(empty, _EMPTY), **values}.items():
        changed._datasets[name] = dataset = copy(changed._datasets[name])
        dataset._data = value
    return cast("DataCatalog", changed)


def schema_and_sample(validator: "PanderaValidator") -> tuple[Any, dict[str, Any]]:
    """Return the model or schema that a catalog entry names, and options for a sample of rows."""
    names = ("head", "tail", "sample", "random_state")
    sample = {name: getattr(validator, f"_{name}") for name in names}
    return validator._schema, {name: each for name, each in sample.items() if each is not None}


def column_arrays(table: "DataFrame") -> "Iterable[Any]":
    """Return the array of each column; what is public takes ten times as long."""
    return cast("Iterable[Any]", table._iter_column_arrays())


def strict_lines(connection: Any, longest: int, error: type[Exception]) -> None:
    """Let h11 refuse lines without a carriage return, folded ones, and a longer head.

    Proxies differ in where they see the end of such lines, and so in which request they let pass.
    """
    buffer = connection._receive_buffer
    read = type(buffer).maybe_extract_lines
    buffer.maybe_extract_lines = partial(_strict_lines, buffer, read, longest, error)


def _strict_lines(
    buffer: Any, read: Callable[[Any], list[bytearray] | None], longest: int, error: type[Exception]
) -> list[bytearray] | None:
    before, data = len(buffer), buffer._data
    if before > longest and data[:2] != b"\r\n" and data.find(b"\r\n\r\n", 0, longest) < 0:
        raise error("a head that is too long")
    lines = read(buffer)
    if lines is not None:
        if before - len(buffer) != sum(map(len, lines)) + 2 * len(lines) + 2:
            raise error("a line feed alone")
        if any(line.startswith((b" ", b"\t")) for line in lines):
            raise error("a folded line")
    return lines


def before_thread_pools_end(function: Callable[[], None]) -> None:
    """Call a function at exit while thread pools still work; `atexit` comes after their end."""
    getattr(threading, "_register_atexit", atexit.register)(function)


@contextmanager
def kedro_serves(app: str) -> Iterator[None]:
    """Let `kedro server start` serve this factory: its command names Kedro's own to uvicorn."""
    uvicorn: Any = import_module("uvicorn")  # MLflow brings it.
    run = uvicorn.run
    uvicorn.run = lambda _, **options: run(app, **options)
    try:
        yield
    finally:
        uvicorn.run = run
