"""Private names of MLflow, Kedro, pandas and CPython: what breaks when they are not there any more.

When one of these fails after an upgrade, `mlops/mlflow_internals.py` is the one file to change.
"""

from __future__ import annotations

import ast
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import uuid4

import h11
import mlflow
import pandas as pd
import pandera.pandas as pa
import pytest
from kedro.io import CachedDataset, DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from kedro.validation import PanderaValidator
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.partitions import PartitionedDataset

from tests.support.answering import answering
from tests.support.profiles import IS_WEEKLY
from tests.support.rooms import PACKAGE, SOURCE, Rooms


@pytest.fixture(scope="module")
def internals(mlops: Rooms) -> ModuleType:
    return mlops("mlflow_internals")


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Leave out, and at the end put back, what MLflow keeps in the environment."""
    names = ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"]

    def leave_out() -> None:
        for name in names:
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    leave_out()
    return leave_out


class Scope:
    """What a thread of a run finds: a stack of its own, an experiment, and their address."""

    def __init__(self, *runs: Any, uri: str = "") -> None:
        self.runs = list(runs)
        self.tracking_uri = uri

    def stack(self) -> list[Any]:
        return self.runs

    @property
    def experiment_id(self) -> str:
        return "0"


def test_a_version_in_a_database_would_be_looked_up_elsewhere(
    internals: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # There is a database of its own, which MLflow makes.
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/tracking.db")
    experiment_id = client.create_experiment("e", tmp_path.as_uri())
    model = client.create_logged_model(experiment_id, "model")
    client.create_registered_model("sales")
    source = f"models:/{model.model_id}"
    with internals.registry_asks(client):
        version = client.create_model_version("sales", source, model_id=model.model_id)
    assert version.source == source
    location = client.get_model_version_download_uri("sales", str(version.version))
    assert location == model.artifact_location
    # Afterwards MLflow asks whom it always has.
    with pytest.raises(mlflow.MlflowException, match="Unable to fetch model"):
        client.create_model_version("sales", source, model_id=model.model_id)


def test_nodes_would_log_to_another_server_or_experiment(
    internals: ModuleType, tmp_path: Path, no_variables: Callable[[], None]
) -> None:
    uris = tuple(f"sqlite:///{tmp_path}/{name}.db" for name in ("tracking", "registry"))
    scope = Scope(uri=uris[0])
    with internals.pointed_at(*uris, lambda has_own: scope):
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == uris
        with mlflow.start_run() as run:
            assert run.info.experiment_id == "0"
        mlflow.set_experiment("chosen")
        with mlflow.start_run() as run:
            assert run.info.experiment_id != "0"
    no_variables()
    assert mlflow.get_tracking_uri() not in uris
    assert mlflow.get_registry_uri() not in uris
    assert mlflow.tracking.fluent._active_experiment_id is None


def test_of_runs_at_once_all_would_log_to_the_first_ones_server(
    internals: ModuleType, tmp_path: Path, no_variables: Callable[[], None]
) -> None:
    first, second, chosen = (f"sqlite:///{tmp_path}/{name}.db" for name in ("1", "2", "chosen"))
    scopes: dict[int, Scope] = {threading.get_ident(): Scope(uri=second)}
    with internals.pointed_at(first, None, lambda has_own: scopes.get(threading.get_ident())):
        assert mlflow.MlflowClient().tracking_uri == second
        with mlflow.start_run() as run:
            mlflow.log_metric("x", 1.0)
        assert mlflow.MlflowClient(second).get_run(run.info.run_id).data.metrics == {"x": 1.0}
        scopes.clear()
        assert mlflow.MlflowClient().tracking_uri == first
        scopes[threading.get_ident()] = Scope(uri=second)
        mlflow.set_tracking_uri(chosen)  # By the node itself.
        assert mlflow.MlflowClient().tracking_uri == chosen


def test_an_address_that_was_never_set_would_stay_set(
    internals: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_variables: Callable[[], None],
) -> None:
    with internals.pointed_at(f"sqlite:///{tmp_path}/tracking.db", None, lambda has_own: None):
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-the-environment")
    assert mlflow.get_tracking_uri() == "http://from-the-environment"


def test_the_tracked_run_would_not_be_the_active_one(internals: ModuleType, tmp_path: Path) -> None:
    marker, own = (mlflow.ActiveRun.__new__(mlflow.ActiveRun) for _ in range(2))
    scope, asked = Scope(marker), []

    def find(has_own: bool) -> Scope | None:
        asked.append(has_own)
        return None if has_own else scope

    with internals.pointed_at(f"sqlite:///{tmp_path}/tracking.db", None, find):
        assert mlflow.active_run() is marker
        of_threads = mlflow.tracking.fluent._active_run_stack.get_all_thread_values()
        assert of_threads[threading.get_ident()] == [marker]
        assert internals.own_active_runs() == []
        internals.own_active_runs().append(own)
        try:
            assert mlflow.active_run() is own
            assert asked[-1] is True
        finally:
            internals.own_active_runs().clear()
    assert mlflow.active_run() is None


def test_a_module_that_is_not_imported_yet_would_stay_as_it_is(
    internals: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("changed_at_import", "changed_never"):
        (tmp_path / f"{name}.py").write_text("value = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def change(module: Any) -> None:
        module.value += 1

    with internals.when_imported("changed_at_import", change):
        module = import_module("changed_at_import")
    assert module.value == 2
    with internals.when_imported("changed_at_import", change):
        assert module.value == 3
    finders = list(sys.meta_path)
    with internals.when_imported("changed_never", change):
        assert sys.meta_path != finders
    assert sys.meta_path == finders
    assert import_module("changed_never").value == 1


def test_what_others_have_replaced_meanwhile_would_be_lost(internals: ModuleType) -> None:
    owner = type("Owner", (), {"name": "before"})
    with internals.replaced(owner, "name", lambda before: f"after {before}"):
        assert owner.name == "after before"  # type: ignore[attr-defined]
    assert owner.name == "before"  # type: ignore[attr-defined]
    with internals.replaced(owner, "name", lambda before: "ours"):
        owner.name = "theirs"  # type: ignore[attr-defined]
    assert owner.name == "theirs"  # type: ignore[attr-defined]


def test_failures_of_loads_and_saves_would_be_nobodys(internals: ModuleType) -> None:

    from kedro.framework.hooks import _create_hook_manager
    from kedro.pipeline import pipeline
    from kedro.runner import SequentialRunner, Task, ThreadRunner

    seen = []

    @contextmanager
    def watch(task: Task) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            seen.append((task.node.name, task.run_id, task.is_async, type(error).__name__))
            raise

    execute = Task.execute
    nodes = pipeline([node(lambda missing: missing, "missing", "text", name="n")])
    catalog = DataCatalog({"missing": CSVDataset(filepath="/nowhere/missing.csv")})
    for runner in (SequentialRunner(), SequentialRunner(is_async=True), ThreadRunner()):
        with internals.tasks_watched(watch), pytest.raises(Exception, match="missing"):
            runner.run(nodes, catalog, _create_hook_manager(), run_id="r")
    assert seen == [("n", "r", is_async, "DatasetError") for is_async in (False, True, False)]
    assert Task.execute is execute


def test_autologging_would_start_stray_runs(
    internals: ModuleType, tmp_path: Path, no_variables: Callable[[], None]
) -> None:
    from sklearn.linear_model import LinearRegression

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with internals.pointed_at(uri, None, lambda has_own: Scope(uri=uri)):
        mlflow.sklearn.autolog(log_models=False, silent=True)
        try:
            with internals.autologging_off():
                LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
        finally:
            mlflow.sklearn.autolog(disable=True)
    assert mlflow.MlflowClient(uri).search_runs(["0"]) == []


def test_tokens_would_not_reach_mlflows_calls(internals: ModuleType) -> None:
    from mlflow.tracking.request_header.abstract_request_header_provider import (
        RequestHeaderProvider,
    )
    from mlflow.tracking.request_header.registry import resolve_request_headers

    class Token(RequestHeaderProvider):  # type: ignore[misc, unused-ignore]
        def in_context(self) -> bool:
            return True

        def request_headers(self) -> dict[str, str]:
            return {"Authorization": "Bearer abc"}

    with internals.headers_from(Token()):
        assert resolve_request_headers()["Authorization"] == "Bearer abc"
    assert "Authorization" not in resolve_request_headers()


def test_mlflow_would_log_what_is_none_of_the_owners_business(internals: ModuleType) -> None:
    internals.quieten_mlflow()
    loud = logging.WARNING
    for name in ("mlflow", "mlflow.utils.environment", "mlflow.store.db.utils"):
        assert find_spec(name)
        assert logging.getLogger(name).getEffectiveLevel() >= loud


def test_forked_workers_would_share_their_parents_connections(
    internals: ModuleType, tmp_path: Path
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    pool = SqlAlchemyStore._engine_map[uri].pool
    internals.forget_connections()
    assert SqlAlchemyStore._engine_map[uri].pool is not pool
    assert mlflow.MlflowClient(uri).search_experiments()


def test_a_new_database_would_have_no_tables(internals: ModuleType, tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    path = tmp_path / "mlflow.db"
    engine = create_engine(f"sqlite:///{path}")
    internals.initialize_tables(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone()


def test_databricks_would_get_no_timeline(internals: ModuleType) -> None:
    from mlflow.tracing.client import TracingClient

    class Recorder:
        """Stands in for a client: only Databricks takes spans this way."""

        def _upload_trace_data(self, info: Any, data: Any) -> None:
            self.seen = info, data.spans

    assert callable(TracingClient._upload_trace_data)
    recorder = Recorder()
    internals.upload_spans(recorder, "info", iter(["span"]))
    assert recorder.seen == ("info", ["span"])


def test_the_doctor_could_ask_no_server(
    internals: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403 if self.headers["Authorization"] is None else 200)
            self.end_headers()
            self.wfile.write(self.path.encode())

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    with answering(Guarded) as uri:
        answer = internals.get_response(uri, "/version", 5)
    assert (answer.status_code, answer.text) == (200, "/version")


def test_runs_on_databricks_would_have_no_page(
    internals: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://dbc-1.cloud.databricks.com/")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", "false")
    assert internals.databricks_host("databricks") == "https://dbc-1.cloud.databricks.com"


def test_predictions_would_pass_arguments_in_the_wrong_order(internals: ModuleType) -> None:
    def work(a: int, b: int) -> int:
        return a - b

    values = {"x": 10, "y": 3}
    assert internals.call_node(node(work, ["y", "x"], "out"), values) == -7
    assert internals.call_node(node(work, {"b": "y", "a": "x"}, "out"), values) == 7


def test_predictions_would_not_know_which_output_is_theirs(internals: ModuleType) -> None:
    two = node(lambda: None, None, ["a", "b"], name="two")
    assert internals.node_outputs(two, (1, 2)) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="list of outputs"):
        internals.node_outputs(two, 1)


def test_serving_would_not_predict_as_mlflow_does(
    internals: ModuleType, tmp_path: Path, no_variables: Callable[[], None]
) -> None:
    class Doubling(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined, misc, unused-ignore]
        def load_context(self, context: Any) -> None:
            pass

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return 2 * model_input

    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(
        folder, python_model=Doubling(), pip_requirements=[], uv_project_path=str(tmp_path)
    )
    assert internals.unchecked_predict(mlflow.pyfunc.load_model(str(folder)))(21) == 42
    strange = tmp_path / "50%20 a#b?c"
    strange.mkdir()
    folder = folder.rename(strange / "model")
    with pytest.raises(mlflow.MlflowException):
        mlflow.pyfunc.load_model(str(folder))
    path = internals.path_to_load(folder, tmp_path)
    assert internals.unchecked_predict(mlflow.pyfunc.load_model(str(path)))(21) == 42


def test_files_of_data_sets_would_be_neither_kept_nor_described(
    internals: ModuleType, tmp_path: Path
) -> None:
    table = CSVDataset(filepath=f"{tmp_path}/table.csv")
    for dataset in (table, CachedDataset(table)):
        storage = internals.storage_of(dataset)
        assert storage.uri == f"{tmp_path}/table.csv"
        assert storage.files.exists(tmp_path)
    assert type(internals.uncached(CachedDataset(table))) is CSVDataset
    assert internals.uncached(table) is table
    parts = PartitionedDataset(path="memory://bucket/parts", dataset=CSVDataset)
    assert internals.storage_of(parts).uri == "memory://bucket/parts"
    far = CSVDataset(filepath="memory://bucket/table.csv")
    assert internals.storage_of(far).uri.startswith("memory://")
    assert internals.storage_of(MemoryDataset()) is None


def test_figures_that_the_catalog_draws_would_be_drawn_twice(internals: ModuleType) -> None:
    figure = MatplotlibDataset(filepath="plot.png")
    parts = PartitionedDataset(path="plots", dataset=MatplotlibDataset, filename_suffix=".png")
    for dataset in (figure, CachedDataset(figure), parts):
        assert internals.draws(dataset)
    tables = PartitionedDataset(path="tables", dataset=CSVDataset, filename_suffix=".csv")
    for dataset in (MemoryDataset(), CSVDataset(filepath="table.csv"), tables):
        assert not internals.draws(dataset)
    assert internals.suffix_of_partitions(parts) == ".png"
    assert internals.suffix_of_partitions(figure) == ""


def test_parameters_would_be_copied_or_missed(internals: ModuleType) -> None:
    value = {"alpha": threading.Lock()}  # It cannot be copied.
    catalog = DataCatalog({"empty": MemoryDataset(), "table": CSVDataset(filepath="no.csv")})
    catalog["held"] = MemoryDataset(value, copy_mode="assign")
    assert internals.values_in_memory(catalog, "held")[0] is value
    for name in ("empty", "table", "missing"):
        assert internals.values_in_memory(catalog, name) == []
    assert catalog.keys() == ["empty", "table", "held"]


def test_a_catalog_gets_other_values_in_memory_and_its_own_stay(internals: ModuleType) -> None:
    value = {"alpha": threading.Lock()}
    catalog = DataCatalog({"table": CSVDataset(filepath="no.csv"), "made": MemoryDataset(1)})
    catalog["held"] = MemoryDataset(copy_mode="assign")
    held = [name for name in ("table", "made", "held") if internals.is_in_memory(catalog, name)]
    assert held == ["made", "held"]
    other = internals.with_values(catalog, {"held": value}, ["made"])
    assert other.load("held") is value
    assert internals.values_in_memory(other, "made") == []
    other.save("made", 2)
    assert (other.load("made"), catalog.load("made")) == (2, 1)
    assert other["table"] is catalog["table"]
    assert internals.values_in_memory(catalog, "held") == []


def test_of_versioned_data_sets_another_version_would_be_kept(
    internals: ModuleType, tmp_path: Path
) -> None:
    from kedro.io.core import Version

    version = Version("2020-01-01T00.00.00.000Z", "2021-01-01T00.00.00.000Z")
    dataset = CSVDataset(filepath=f"{tmp_path}/table.csv", version=version)
    assert "/2020-" in internals.storage_of(dataset).uri
    assert "/2021-" in internals.storage_of(dataset, saved=True).uri


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with two pipelines, which Kedro is configured for and finds itself."""
    from kedro.framework import project

    name = f"study_{uuid4().hex[:8]}"
    for pipeline in ("training", "inference"):
        folder = tmp_path / name / "pipelines" / pipeline
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(
            "from kedro.pipeline import Pipeline\ndef create_pipeline(): return Pipeline([])\n"
        )
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "pipelines" / "__init__.py").touch()
    (tmp_path / name / "pipeline_registry.py").write_text(
        "from kedro.framework.project import find_pipelines\n"
        "asked = []\n"
        "def register_pipelines():\n    asked.append(1)\n    return find_pipelines()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(project, "PACKAGE_NAME", name)
    project.pipelines.configure(f"{name}.pipeline_registry")
    yield name
    project.pipelines.configure(None)


def test_a_run_of_one_pipeline_would_hide_the_others(internals: ModuleType, study: str) -> None:
    from kedro.framework.project import pipelines

    pipelines.set_requested(["training"])
    internals.ask_for_all_pipelines()
    assert {"training", "inference"} <= internals.loaded_pipelines(study, []).keys()
    assert sys.modules[f"{study}.pipeline_registry"].asked == [1]
    assert internals.loaded_pipelines("another", []) == {}


def test_a_pipeline_that_kedro_left_out_would_not_be_found(
    internals: ModuleType, study: str
) -> None:
    from kedro.framework.project import pipelines

    pipelines.set_requested(["training"])
    assert "inference" not in internals.loaded_pipelines(study, ["training"])
    assert "inference" in internals.loaded_pipelines(study, ["inference"])


def test_a_model_in_another_program_would_not_find_its_pipelines(
    internals: ModuleType, study: str
) -> None:
    from kedro.framework import project

    register = import_module(f"{study}.pipeline_registry").register_pipelines
    project.PACKAGE_NAME = None
    project.pipelines.set_requested(["training"])
    with internals.kedro_finds_pipelines_of(study):
        assert {"training", "inference"} <= register().keys()
    assert project.PACKAGE_NAME is None
    assert project.pipelines._requested_pipelines == ["training"]


def test_a_model_in_another_program_would_change_its_logging() -> None:
    script = (
        "import logging, sys\n"
        "logging.basicConfig(level=logging.ERROR)\n"
        "mine = logging.getLogger('mine')\n"
        "before = list(logging.getLogger().handlers), logging.getLogger().level\n"
        "from importlib import import_module\n"
        'internals = import_module("{{ package_name }}.mlops.mlflow_internals")\n'
        "with internals.kedro_logs_nothing():\n"
        "    import kedro.framework.project\n"
        "assert before == (logging.getLogger().handlers, logging.getLogger().level)\n"
        "assert not mine.disabled\n"
    )
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(SOURCE)}, check=True)


def test_runs_of_a_stopped_script_would_be_ended_too_late_to_be_delivered() -> None:
    script = (
        "import atexit\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from importlib import import_module\n"
        'internals = import_module("{{ package_name }}.mlops.mlflow_internals")\n'
        "pool = ThreadPoolExecutor()\n"
        "internals.before_thread_pools_end(lambda: pool.submit(print, 'still works').result())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "still works\n"


def test_a_packaged_models_process_needs_no_mlflow() -> None:
    script = (
        "import sys\n"
        "from importlib import import_module\n"
        'import_module("{{ package_name }}.mlops.mlflow_internals")\n'
        "print([name for name in ('mlflow', 'kedro', 'fsspec') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


# How a project may use what is not loaded yet.
USES_OF_DEFERRED = [
    "assert callable(mlflow.genai.evaluate)",
    "from mlflow.genai import evaluate",
    "import mlflow.gateway.exceptions",
]
FURTHER_USES = [
    "assert 'evaluate' in dir(mlflow.genai)",
    "import mlflow.genai.datasets as datasets; assert datasets is mlflow.genai.datasets",
    "from mlflow import genai; assert callable(genai.evaluate)",
    "assert not hasattr(mlflow.genai, 'no_such_name')",
]


def test_each_run_would_wait_for_parts_of_mlflow_that_it_does_not_use() -> None:
    uses = USES_OF_DEFERRED + FURTHER_USES * IS_WEEKLY
    script = (
        "import os, sys\n"
        "from importlib import import_module\n"
        'import_module("{{ package_name }}.mlops.mlflow_internals").import_mlflow()\n'
        "import mlflow, mlflow.tracing.client, mlflow.store.tracking.rest_store\n"
        "found = lambda: {'mlflow.genai', 'mlflow.gateway', 'fastapi'} & set(sys.modules)\n"
        "print(found())\n"
        "for use in sys.argv[1:]:\n"
        "    if not os.fork():\n"  # Nothing is loaded yet for the next one.
        "        exec(use)\n"
        "        print(use, bool(found()), flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    printed = subprocess.check_output(
        [sys.executable, "-u", "-c", script, *uses],
        env={"PYTHONPATH": str(SOURCE)},
        encoding="utf-8",
    )
    assert printed.splitlines() == ["set()", *(f"{use} True" for use in uses)]


# A named tuple's and the system's own, which are documented.
PUBLIC = {"_replace", "_asdict", "_exit"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_names(tree: ast.AST) -> Iterator[str]:
    """Find what a module reaches for that its owner has not promised to keep."""
    for each in ast.walk(tree):
        names: list[str] = []
        if isinstance(each, ast.Attribute):
            owner = each.value.func if isinstance(each.value, ast.Call) else each.value
            own = isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super")
            names = [] if own else [each.attr]
        elif isinstance(each, ast.ImportFrom) and each.level == 0:
            names = [*str(each.module).split("."), *(alias.name for alias in each.names)]
            if str(each.module).startswith("mlflow.utils"):
                yield str(each.module)
        elif isinstance(each, ast.Call) and getattr(each.func, "id", "") == "getattr":
            names = [str(each.args[1].value)] if isinstance(each.args[1], ast.Constant) else []
        yield from filter(is_private, names)


def test_no_other_file_reaches_for_private_names() -> None:
    folder = SOURCE / PACKAGE / "mlops"
    found = {
        path.relative_to(folder).as_posix(): names
        for path in sorted(folder.rglob("*.py"))
        if path.name != "mlflow_internals.py"
        and (names := list(private_names(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


def test_two_runs_that_begin_in_one_millisecond_would_have_one_id(
    internals: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro.framework.session import service_session, session

    given = iter(["first", "first", "first", "second", "second", "third"])
    for module in (session, service_session):
        monkeypatch.setattr(module, "generate_timestamp", given.__next__)
    internals.tell_runs_apart()
    internals.tell_runs_apart()
    modules = (session, service_session, session)
    assert [module.generate_timestamp() for module in modules] == ["first", "second", "third"]


def test_kedros_server_names_its_application_to_uvicorn(
    internals: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kedro.framework.cli.server import server_cli

    served = list[tuple[str, Any]]()
    monkeypatch.setattr("uvicorn.run", lambda app, **options: served.append((app, options)))
    monkeypatch.setenv("KEDRO_PROJECT_PATH", "")  # The command sets it.
    metadata = SimpleNamespace(project_path=tmp_path)
    start = partial(server_cli.commands["start"].main, obj=metadata, standalone_mode=False)
    with internals.kedro_serves("ours:app"):
        start(["--port", "1"])
    start(["--port", "2"])
    (ours, options), (kedros, _) = served
    assert (ours, options["factory"], options["port"]) == ("ours:app", True, 1)
    assert kedros == "kedro.server.http_server:create_http_server"


def test_the_arrays_of_a_tables_columns_are_found(internals: ModuleType) -> None:
    table = pd.DataFrame({"b": [1.5, 2.5], "a": ["x", "y"], "c": [True, False], "d": [0.5, 1.5]})
    table["e"] = pd.array([1, None], dtype="Int64")
    for name, array in zip(table, internals.column_arrays(table), strict=True):
        assert (array.dtype, list(array)) == (table[name].dtype, list(table[name]))


@pytest.mark.parametrize(
    ("head", "is_read"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: " + b"x" * 200 + b"\r\n\r\n", False),
    ],
    ids=["whole", "bare", "folded", "long"],
)
def test_lines_of_a_request_are_read_strictly(
    internals: ModuleType, head: bytes, is_read: bool
) -> None:
    connection = h11.Connection(h11.SERVER)
    internals.strict_lines(connection, 100, h11.LocalProtocolError)
    connection.receive_data(head)
    if is_read:
        assert type(connection.next_event()) is h11.Request
    else:
        with pytest.raises(h11.RemoteProtocolError):
            connection.next_event()


def test_what_a_catalog_entry_has_checked_and_how_is_known(internals: ModuleType) -> None:
    schema = pa.DataFrameSchema({})
    assert internals.schema_and_sample(PanderaValidator(schema)) == (schema, {})
    sampled = PanderaValidator(schema, head=3, sample=2, random_state=1)
    options = {"head": 3, "sample": 2, "random_state": 1}
    assert internals.schema_and_sample(sampled) == (schema, options)


def test_a_nodes_wiring_says_which_argument_a_data_set_is_for(mlops: Rooms) -> None:
    wiring = mlops("mlflow_internals").node_wiring
    nodes = [
        node(lambda a, b: a, ["x", "y"], "z", name="n"),
        node(lambda a, b: a, ["y", "x"], "z", name="n"),
        node(lambda a, b: a, {"a": "x", "b": "y"}, "z", name="n"),
        node(lambda a, b: a, {"a": "y", "b": "x"}, "z", name="n"),
        node(lambda a, b: a, ["x", "y"], ["z"], name="n"),
        node(lambda a, b: a, ["x", "y"], {"z": "z"}, name="n"),
    ]
    assert len({wiring(each) for each in nodes}) == len(nodes)


def test_a_pipeline_that_hooks_have_seen_runs_other_nodes(mlops: Rooms) -> None:
    def first(x: int) -> int:
        raise AssertionError

    pipeline = Pipeline([node(first, "x", "y", name="first")])
    assert [each.name for each in pipeline.nodes] == ["first"]  # It is sorted once.
    other = node(lambda x: x + 1, "x", "z", name="other")
    mlops("mlflow_internals").replace_nodes(pipeline, [other])
    catalog = DataCatalog({"x": MemoryDataset(1)})
    (output,) = SequentialRunner().run(pipeline, catalog).values()
    assert output.load() == 2
    assert (pipeline.inputs(), pipeline.outputs()) == ({"x"}, {"z"})


@pytest.mark.parametrize("cached", [True, False])
def test_an_entry_is_read_with_other_options(mlops: Rooms, tmp_path: Path, cached: bool) -> None:
    change = mlops("mlflow_internals").change_entry
    (tmp_path / "x.csv").write_text("a;b\n1;2\n", encoding="utf-8")
    entry: dict[str, Any] = {"type": "pandas.CSVDataset", "filepath": str(tmp_path / "x.csv")}
    if cached:
        entry = {"type": "CachedDataset", "dataset": entry}
    catalog = DataCatalog.from_config({"x": {**entry, "validator": "builtins.no_such"}})
    change(catalog, "x", None, load_args={"sep": ";"})
    assert catalog.load("x").to_dict("list") == {"a": [1], "b": [2]}
    assert catalog.validators == {}
    change(catalog, "x", "builtins.len")
    assert catalog.load("x") == 1


def test_a_run_tells_the_latest_point_of_each_metric(
    internals: ModuleType, tmp_path: Path, no_variables: Callable[[], None]
) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = client.create_run("0").info.run_id
    for step, value in ((3, 0.25), (7, float("nan"))):
        client.log_metric(run_id, "loss", value, timestamp=1, step=step)
    (latest,) = internals.latest_points(client.get_run(run_id)).values()
    assert (latest.key, latest.step, repr(latest.value), latest.timestamp) == ("loss", 7, "nan", 1)
