"""Tracking never costs the run: a run with the hook and one without it end alike.

Pipelines of hostile objects are generated: their classes lie about what they are, and whatever is
asked of them is written down, printed, warned of, and raises.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from kedro_datasets.pandas import CSVDataset

from tests.support.profiles import examples
from tests.support.rooms import Rooms

TOUCHED: list[str] = []


def touch(name: str) -> Any:
    """What happens when a hostile object is asked anything."""
    TOUCHED.append(name)
    print(f"touched: {name}")
    warnings.warn(f"touched: {name}", UserWarning, stacklevel=2)
    raise RuntimeError(f"touched: {name}")


def method_of(name: str) -> Callable[..., Any]:
    return lambda self, *_: touch(name)


METHODS = [
    *("__len__", "__iter__", "__getitem__", "__contains__", "__bool__", "__eq__", "__hash__"),
    *("__str__", "__repr__", "__format__", "__float__", "__int__", "__index__", "__array__"),
    *("__call__", "__getattr__", "__enter__", "__next__", "__reduce__"),
]
PROPERTIES = [
    *("columns", "dtypes", "schema", "shape", "ndim", "dtype", "items", "keys", "values"),
    *("fit", "predict", "savefig", "write_html", "model_dump", "__class__", "__wrapped__"),
]
# What a class may say that it is.
CLAIMS: list[tuple[Any, str]] = [
    *(("pandas", "DataFrame"), ("polars.lazyframe.frame", "LazyFrame"), ("numpy", "ndarray")),
    *(("sklearn.linear_model", "Ridge"), ("matplotlib.figure", "Figure"), ("mlflow.pyfunc", "M")),
    *(("plotly.basedatatypes", "BaseFigure"), ("pydantic.main", "BaseModel"), ("", "Nothing")),
    *((None, "None"), (42, "Number"), (["a"], "List")),
]
BASES = [object, dict, list, tuple, float, int, str]


class HostileKind(type):
    """A class that is asked is as hostile as its objects."""

    def __getattr__(cls, name: str) -> Any:
        return touch(f"class.{name}")


@dataclass(frozen=True)
class Hostile:
    """How to make an object of a class of its own, which says that it is another."""

    base: Any
    methods: frozenset[str]
    properties: frozenset[str]
    claim: tuple[Any, str]

    def make(self) -> Any:
        body: dict[str, Any] = {name: method_of(name) for name in self.methods}
        body |= {name: property(method_of(name)) for name in self.properties}
        module, name = self.claim
        kind: Any = HostileKind(name, (self.base,), body | {"__module__": module})
        return self.base.__new__(kind)


def made(value: Any) -> Any:
    """Make the hostile objects in a value."""
    if isinstance(value, dict):
        return {key: made(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(made, value))
    return value.make() if isinstance(value, Hostile) else value


HOSTILE = st.builds(
    Hostile,
    st.sampled_from(BASES),
    st.frozensets(st.sampled_from(METHODS)),
    st.just(frozenset(PROPERTIES)) | st.frozensets(st.sampled_from(PROPERTIES)),
    st.sampled_from(CLAIMS),
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.text(max_size=2))


def containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.dictionaries(KEYS, inside, max_size=4)
        | st.lists(inside, max_size=4)
        | st.lists(inside, max_size=3).map(tuple)
    )


VALUES = st.recursive(PLAIN | HOSTILE, containers, max_leaves=8)


class Given:
    """A node function that is an object: it returns what it was given, or changes and breaks it."""

    def __init__(self, result: Any, breaks: bool, changes: bool) -> None:
        self.result, self.breaks, self.changes = result, breaks, changes

    def __call__(self, *inputs: Any) -> Any:
        for value in inputs:
            if self.changes and type(value) is dict:
                value.clear()
        if self.breaks:
            raise ValueError("the node's own error")
        return self.result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Kedro itself asks for these, to read the signature.
            raise AttributeError(name)
        return touch(f"function.{name}")


@dataclass
class Case:
    """Values of a pipeline of three nodes: what they read, and what they return."""

    inputs: tuple[Any, Any, Any]
    results: tuple[Any, Any, Any]
    breaks: tuple[bool, bool, bool]
    changes: bool

    def pipeline(self) -> Pipeline:
        first, second, third = (
            Given(made(result), breaks, self.changes)
            for result, breaks in zip(self.results, self.breaks, strict=True)
        )
        return Pipeline(
            [
                node(first, ["raw", "params:a"], "first", name="one"),
                node(second, ["first", "params:a.b", "raw"], "second", name="two"),
                node(third, ["second"], "third", name="three"),
            ]
        )

    def catalog(self) -> DataCatalog:
        catalog = DataCatalog({name: in_memory() for name in OUTPUTS})
        for name, value in zip(("raw", "params:a", "params:a.b"), self.inputs, strict=True):
            catalog[name] = in_memory(made(value))
        return catalog


OUTPUTS = ("first", "second", "third")
# A parameter whose class is a text's, with methods of its own.
TEXT = Hostile(str, frozenset(METHODS), frozenset(PROPERTIES), ("", "Text"))


def in_memory(*value: Any) -> Any:
    dataset = MemoryDataset(copy_mode="assign")
    if value:
        dataset._data = value[0]
    return dataset


# Kedro saves no None.
RESULTS = VALUES.filter(lambda value: value is not None)
CASES = st.builds(
    Case,
    st.tuples(VALUES, VALUES, VALUES),
    st.tuples(RESULTS, RESULTS, RESULTS),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.booleans(),
)


class CaptureHook:
    """What the project's hook does of a run, without MLflow."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.under_way: dict[Any, Any] = {}

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Any) -> None:
        if node not in self.under_way:
            self.under_way[node] = self.run.node_started(node)
        self.under_way[node].starts("loading", dataset_name)

    @hook_impl
    def before_node_run(self, node: Any, catalog: Any, inputs: Any) -> None:
        self.run.node_called(node, inputs, catalog)

    @hook_impl
    def after_node_run(self, node: Any, outputs: Any) -> None:
        self.run.node_finished(node, outputs)

    @hook_impl
    def after_dataset_saved(self, node: Any, dataset_name: str, data: Any) -> None:
        self.run.dataset_saved(node, dataset_name, data)
        self.run.node_ended(self.under_way[node])

    @hook_impl
    def on_node_error(self, node: Any, error: Any, catalog: Any) -> None:
        self.run.node_ended(self.under_way[node], error, catalog)


@dataclass
class Ending:
    """How a run has ended, as far as its owner can see."""

    error: tuple[Any, str] | None = None
    saved: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)


def ending(
    case: Case, capsys: pytest.CaptureFixture[str], track: Callable[[Pipeline, DataCatalog], Any]
) -> Ending:
    TOUCHED.clear()
    capsys.readouterr()
    pipeline, catalog, end = case.pipeline(), case.catalog(), Ending()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # Of whatever another test has left.
        hooks = _create_hook_manager()
        if run := track(pipeline, catalog):
            hooks.register(CaptureHook(run))
        try:
            SequentialRunner().run(pipeline, catalog, hooks, "run")
        except Exception as error:
            end.error = type(error), str(error)
        if run:
            run.complete(catalog)
            run.journal.close()
            run._lock.release()
    end.warnings = [str(each.message) for each in caught]
    end.touched = list(TOUCHED)
    end.saved = [name for name in OUTPUTS if catalog[name].exists()]
    shown = capsys.readouterr().out.splitlines()
    end.output = [line for line in shown if line.startswith("touched")]
    return end


@pytest.fixture
def track(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Pipeline, DataCatalog], Any]]:
    """Start a run as the hook does; nothing of it is sent anywhere, or shown."""
    logging.disable(logging.CRITICAL)
    module = mlops("tracking.run")
    monkeypatch.setattr(module, "sinks_of", lambda *_, **__: [])
    monkeypatch.setattr(module, "run_tags", lambda *_: {})
    started = mlops("tracking")
    config = mlops("config").KedroMlflowConfig()
    config = mlops("config").resolve(config, tmp_path)
    number = count()

    def track(pipeline: Pipeline, catalog: DataCatalog) -> Any:
        run_id = f"run-{next(number)}"
        params: dict[str, Any] = {
            "run_id": run_id,
            "project_path": str(tmp_path),
            "runner": "None",
            "kedro_version": "1",
            "env": None,
            "pipeline_names": ["training"],
            "runtime_params": {},
        }
        mlops("tracking.active_run").uses_mlflow(pipeline)
        start = started.RunStart(params, ["training"], pipeline, catalog)
        run = module.TrackedRun(tmp_path / ".kedro_mlflow" / "journal" / run_id, config, start)
        run.start()
        return run

    yield track
    logging.disable(logging.NOTSET)


@settings(
    deadline=None,
    max_examples=examples(25, weekly=250),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(CASES)
@example(Case((None, None, TEXT), ({}, {}, {}), (False, False, False), changes=False))
def test_a_run_ends_as_it_would_without_the_hook(
    track: Any, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    bare = ending(case, capsys, lambda *_: None)
    assert ending(case, capsys, track) == bare


# --- What is asked of tables ---


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str, **body: Any) -> Any:
    """An object of a class that a library of this name defines; its rows may not be asked for."""

    def rows(self: Any) -> int:
        raise AssertionError("rows are asked for")

    kind = type(name, (), {"__module__": module, "__len__": rows, "__iter__": rows, **body})
    library = types.ModuleType(module)
    setattr(library, name, kind)
    monkeypatch.setitem(sys.modules, module, library)
    return kind()


COLUMNS: dict[str, Any] = {"columns": ["a", "b"], "dtypes": ["int64", "object"]}


@pytest.mark.parametrize(
    ("module", "name", "body"),
    [
        ("dask.dataframe.dask_expr._collection", "DataFrame", COLUMNS),
        ("modin.pandas.dataframe", "DataFrame", COLUMNS),
        (
            "pyspark.sql.classic.dataframe",
            "DataFrame",
            {**COLUMNS, "dtypes": [("a", "int64"), ("b", "object")]},
        ),
        ("_duckdb", "DuckDBPyRelation", COLUMNS),
        (
            "polars.lazyframe.frame",
            "LazyFrame",
            {"collect_schema": lambda self: {"a": "int64", "b": "object"}},
        ),
        (
            "ibis.expr.types.relations",
            "Table",
            {"schema": lambda self: {"a": "int64", "b": "object"}},
        ),
    ],
)
def test_a_table_that_is_lazy_or_far_away_gives_its_columns_and_no_rows(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, module: str, name: str, body: dict[str, Any]
) -> None:
    described = mlops("tracking.capture.inputs").describe_table(
        stand_in(monkeypatch, module, name, **body)
    )
    assert described == {"schema": [("a", "int64"), ("b", "object")], "rows": None}


def test_a_dask_table_is_not_computed(mlops: Rooms) -> None:
    dask = pytest.importorskip("dask.dataframe")
    part = pd.DataFrame({"a": [1]})

    def broken(number: int) -> pd.DataFrame:
        raise AssertionError("computed")

    table = dask.from_map(broken, range(4), meta=part)
    described = mlops("tracking.capture.inputs").describe_table(table)
    assert described == {"schema": [("a", "int64")], "rows": None}


def test_a_lazy_frame_of_polars_is_not_computed(mlops: Rooms) -> None:
    polars = pytest.importorskip("polars")

    def broken(frame: Any) -> Any:
        raise AssertionError("computed")

    schema = {"a": polars.Int64}
    plan = polars.LazyFrame({"a": [1]}).map_batches(broken, schema=schema)
    describe = mlops("tracking.capture.inputs").describe_table
    assert describe(plan) == {"schema": [("a", "Int64")], "rows": None}
    assert describe(polars.DataFrame({"a": [1]})) == {"schema": [("a", "Int64")], "rows": 1}


def test_a_relation_of_duckdb_is_not_computed(mlops: Rooms) -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("SELECT error('computed') AS a FROM range(3)")
    described = mlops("tracking.capture.inputs").describe_table(relation)
    assert [name for name, _ in described["schema"]] == ["a"]
    assert described["rows"] is None


def test_an_expression_of_ibis_is_not_computed(mlops: Rooms) -> None:
    ibis = pytest.importorskip("ibis")
    described = mlops("tracking.capture.inputs").describe_table(ibis.table({"a": "int64"}, "gone"))
    assert described == {"schema": [("a", "int64")], "rows": None}


def test_what_is_in_memory_gives_its_rows(mlops: Rooms) -> None:
    describe = mlops("tracking.capture.inputs").describe_table
    table = pd.DataFrame({"a": [1, 2], ("b", 1): ["x", "y"]})
    described = describe(table)
    assert [name for name, _ in described["schema"]] == ["a", "('b', 1)"]
    assert described["rows"] == 2
    for other in (Columned(), {"columns": [1], "dtypes": [2]}, [1], "text", None):
        assert describe(other) == {"schema": None, "rows": None}
    arrow = pytest.importorskip("pyarrow").table({"a": [1, 2, 3]})
    assert describe(arrow) == {"schema": [("a", "int64")], "rows": 3}


class Columned:
    """It has what a table has, and is of no library that is known."""

    columns = dtypes = property(lambda self: touch("columns"))


# --- What is asked of files ---

NO_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes or devices as files")


@NO_PIPES
def test_a_pipe_or_a_device_is_never_read(mlops: Rooms, tmp_path: Path) -> None:
    digest_of = mlops("tracking.capture.inputs").digest_of
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # Opening it would wait for a writer for ever.
    (tmp_path / "link").symlink_to(pipe)
    (tmp_path / "input").symlink_to("/dev/stdin")
    for path in (
        pipe,
        tmp_path / "link",
        tmp_path / "input",
        Path("/dev/stdin"),
        Path("/dev/null"),
    ):
        assert digest_of(path) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert digest_of(tmp_path / "socket") is None
    (tmp_path / "file").write_text("a", encoding="utf-8")
    assert digest_of(tmp_path / "file") == hashlib.sha256(b"a").hexdigest()[:32]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory as a folder")
def test_a_file_in_shared_memory_is_a_file_like_any_other(mlops: Rooms) -> None:
    digest_of = mlops("tracking.capture.inputs").digest_of
    with TemporaryDirectory(dir="/dev/shm") as folder:
        (file := Path(folder, "file")).write_text("a", encoding="utf-8")
        assert digest_of(file) == hashlib.sha256(b"a").hexdigest()[:32]
        (Path(folder, "input")).symlink_to("/dev/stdin")
        assert digest_of(Path(folder, "input")) is None


@NO_PIPES
def test_standard_input_stays_whole(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\n1\n")
    os.close(writer)
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        dataset = CSVDataset(filepath="/dev/stdin")
        described = mlops("tracking.capture.inputs").describe_input("raw", dataset)
        assert described == {"source": "file:///dev/stdin", "type": "CSVDataset", "digest": None}
        assert os.read(0, 100) == b"a\n1\n"
    finally:
        os.dup2(kept, 0)
        os.close(reader)


def test_a_folder_of_very_many_files_has_no_digest(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = mlops("tracking.capture.inputs")
    monkeypatch.setattr(inputs, "_MAX_FILES", 3)
    for number in range(3):
        (tmp_path / str(number)).touch()
    assert inputs.digest_of(tmp_path)
    (tmp_path / "more").touch()
    assert inputs.digest_of(tmp_path) is None


# --- What is asked of functions ---


class Model:
    """Nodes may be classes, methods, and objects that are called."""

    def __init__(self, *data: Any) -> None:
        self.data = data

    def fit(self, data: Any) -> Any:
        return data

    @classmethod
    def load(cls, data: Any) -> Any:
        return data

    def __call__(self, data: Any) -> Any:
        return data


def identity(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def decorated(data: Any) -> Any:
        return function(data)

    return decorated


@identity
@identity
def wrapped(data: Any) -> Any:
    return data


class Endless:
    """It says of itself that it decorates another of its kind, and so on."""

    __wrapped__ = property(lambda self: Endless())

    def __call__(self, data: Any) -> Any:
        return data


class Decorating(Model):
    def __init__(self) -> None:
        self.__wrapped__ = self


HERE = __name__


@pytest.mark.parametrize(
    ("function", "name", "is_here"),
    [
        (str.upper, "builtins.str.upper", False),
        ("text".upper, "builtins.str.upper", False),
        (len, "builtins.len", False),
        (dict.fromkeys, "builtins.dict.fromkeys", False),
        (math.sqrt, "math.sqrt", False),
        (np.log, "numpy.ufunc", False),
        (lambda data: data, f"{HERE}.<lambda>", True),
        (partial(partial(wrapped)), f"{HERE}.wrapped", True),
        (Model, f"{HERE}.Model", False),
        (Model(), f"{HERE}.Model", False),
        (Model().fit, f"{HERE}.Model.fit", True),
        (Model.load, f"{HERE}.Model.load", True),
        (wrapped, f"{HERE}.wrapped", True),
        (Given(1, False, False), f"{HERE}.Given", False),
        (Endless(), f"{HERE}.Endless", False),
        (Decorating(), f"{HERE}.Decorating", False),
    ],
)
def test_a_node_of_any_function_is_described(
    mlops: Rooms, function: Any, name: str, is_here: bool
) -> None:
    described = mlops("tracking.capture.nodes").describe_node(
        node(function, "a", "b", name="node"), Path(__file__).parent
    )
    assert described["function"] == name
    assert bool(described["source"]) is is_here
    assert mlops("tracking.active_run").uses_mlflow(
        Pipeline([node(function, "a", "b", name="n")])
    ) in (True, False)
