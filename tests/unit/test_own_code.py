"""Which modules of `src/` a pipeline needs, by their text, and when two states of one differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms

OWNER = "owner"
NODES = f"{OWNER}/nodes.py"


@pytest.fixture
def source(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An owner's `src/`, whose modules can be imported, in place of the template's."""
    own_code, package = mlops("model.own_code"), tmp_path / "src" / OWNER
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    values = {"SOURCE": package.parent, "PACKAGE": OWNER, "PACKAGE_FOLDER": package}
    for name, value in {**values, "TEMPLATE_FOLDER": package / "mlops"}.items():
        monkeypatch.setattr(own_code, name, value)
    monkeypatch.setattr(mlops("project"), "TEMPLATE_FOLDER", package / "mlops")
    monkeypatch.syspath_prepend(str(package.parent))
    before = set(sys.modules)
    yield package.parent
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(source: Path, path: str, content: str = "") -> None:
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_text(content, encoding="utf-8")


# What a node's module says, and which other modules there are; those with a + it needs.
IMPORTS = [
    ("import rules", "+rules.py other.py"),
    ("import pricing.tariffs as t", "+pricing/__init__.py +pricing/tariffs.py pricing/other.py"),
    ("from pricing import tariffs", "+pricing/__init__.py +pricing/tariffs.py"),
    ("from pricing import RATE", "+pricing/__init__.py pricing/tariffs.py"),
    ("from acme.extras import shift", "+acme/extras/shift.py"),
    ("from . import helpers", "+owner/helpers.py"),
    ("from .deep.down import x", "+owner/deep/down.py"),
    ("def predict(rows):\n    import rules", "+rules.py"),
    ("class A:\n    async def f(self):\n        from rules import x", "+rules.py"),
    ("try:\n    import fast\nexcept ImportError:\n    import slow", "+slow.py"),
    ("try:\n    import fast\nexcept (OSError, ImportError):\n    pass", ""),
    ("try:\n    import fast\nexcept:\n    pass", ""),
    ("from importlib import import_module\nimport_module('rules')", "+rules.py"),
    ("import importlib\nimportlib.import_module('.helpers', __package__)", "+owner/helpers.py"),
    ("__import__('rules')", "+rules.py"),
    ("import importlib\nf = lambda n: importlib.import_module(n)", "+owner/helpers.py rules.py"),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rules", "rules.py"),
    ("import typing\nif typing.TYPE_CHECKING:\n    import rules", "rules.py"),
    ("from .mlops import validated", "owner/mlops/__init__.py"),
    ("from owner.mlops.validation import validated", "owner/mlops/__init__.py"),
    ("import pandas, json", ""),
    ("this is no Python", "rules.py"),
]


@pytest.mark.parametrize(("text", "files"), IMPORTS, ids=range(len(IMPORTS)))
def test_modules_are_found_wherever_their_import_is(
    mlops: Rooms, source: Path, text: str, files: str
) -> None:
    write(source, NODES, f"{text}\n")
    for file in files.split():
        write(source, file.lstrip("+"))
    found = mlops("model.own_code")._reached(["owner.nodes"])
    needed = [file[1:] for file in files.split() if file[0] == "+"]
    assert found.files == sorted([f"{OWNER}/__init__.py", NODES, *needed])
    assert found.missing == {}
    assert {path.name for path in found.tops} == {file.split("/")[0] for file in found.files}


MISSING = [
    ("def f():\n    import nowhere", "nowhere"),
    ("def f():\n    from .gone import x", "owner.gone"),
    ("def f():\n    from pricing.gone import x", "pricing.gone"),
    ("def f():\n    import elsewhere", "elsewhere"),
    ("try:\n    import nowhere\nexcept OSError:\n    pass", "nowhere"),
    ("try:\n    pass\nexcept ImportError:\n    import nowhere", "nowhere"),
    ("import importlib\ndef f():\n    importlib.import_module('nowhere')", "nowhere"),
]


@pytest.mark.parametrize(("text", "missing"), MISSING)
def test_what_the_models_process_will_not_find_is_named(
    mlops: Rooms, source: Path, monkeypatch: pytest.MonkeyPatch, text: str, missing: str
) -> None:
    write(source, NODES, f"{text}\n")
    write(source, "pricing/__init__.py")
    write(source.parent, "lib/elsewhere.py")  # As PYTHONPATH may have it.
    monkeypatch.syspath_prepend(str(source.parent / "lib"))
    assert mlops("model.own_code")._reached(["owner.nodes"]).missing == {missing: "owner.nodes"}


def test_beside_an_installed_package_nothing_is_the_owners(
    mlops: Rooms, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source.parent, "site-packages/owner/nodes.py", "import pandas")
    write(source.parent, "site-packages/pandas/__init__.py")
    installed = source.parent / "site-packages"
    monkeypatch.setattr(mlops("model.own_code"), "SOURCE", installed)
    assert mlops("model.own_code")._reached(["owner.nodes"]).files == [NODES]


def twice(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*given: Any) -> Any:
        return function(function(*given))

    return wrapped


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "function": lambda nodes: nodes.predict,
    "partial": lambda nodes: partial(nodes.scale, by=2),
    "decorated": lambda nodes: twice(nodes.predict),
    "made by a function": lambda nodes: nodes.make(2),
    "method": lambda nodes: nodes.Scaler(2).scale,
    "object": lambda nodes: nodes.Scaler(2),
    "in a list": lambda nodes: partial(lambda _, rows: rows, [nodes.predict]),
}
TEXT = """\
def predict(rows): return rows
def scale(rows, by): return rows * by
def make(by):
    def made(rows): return rows * by
    return made
class Scaler:
    def __init__(self, by): self.by = by
    def scale(self, rows): return rows * self.by
    def __call__(self, rows): return rows * self.by
"""


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_nodes_function_is_found_inside_what_wraps_it(
    mlops: Rooms, source: Path, kind: str
) -> None:
    write(source, NODES, TEXT)
    function = FUNCTIONS[kind](import_module("owner.nodes"))
    pipeline = Pipeline([node(function, "rows", "out", name="n")])
    assert NODES in mlops("model.own_code").own_modules(pipeline).files


def test_modules_of_objects_are_found_by_their_names(mlops: Rooms, source: Path) -> None:
    write(source, f"{OWNER}/checks.py")
    names = ("owner.checks.Schema.validate", "pandas.CSVDataset", "", "owner.mlops.SkopsDataset")
    found = mlops("model.own_code").own_modules(Pipeline([]), *names)
    assert found.files == [f"{OWNER}/__init__.py", f"{OWNER}/checks.py"]


def test_a_node_is_another_one_with_another_function_argument_or_data_set(
    mlops: Rooms, source: Path
) -> None:
    write(source, NODES, TEXT)
    nodes = import_module("owner.nodes")
    different = [
        node(nodes.predict, "rows", "out", name="n"),
        node(nodes.predict, "others", "out", name="n"),
        node(nodes.predict, "rows", "outs", name="n"),
        node(nodes.predict, {"rows": "rows"}, "out", name="n"),
        node(partial(nodes.scale, by=1), "rows", "out", name="n"),
        node(partial(nodes.scale, by=2), "rows", "out", name="n"),
        node(partial(nodes.scale, by=1.0), "rows", "out", name="n"),
        node(nodes.make(2), "rows", "out", name="n"),
        node(nodes.make(3), "rows", "out", name="n"),
        node(nodes.Scaler(2), "rows", "out", name="n"),
        node(nodes.Scaler(3), "rows", "out", name="n"),
        node(nodes.Scaler(3).scale, "rows", "out", name="n"),
        node(twice(nodes.predict), "rows", "out", name="n"),
    ]
    wiring = mlops("model.own_code").wiring
    digests = [wiring(Pipeline([each]))["n"] for each in different]
    assert len(set(digests)) == len(different)
    again = [wiring(Pipeline([each]))["n"] for each in different]
    assert again == digests
    secret = wiring(Pipeline([node(partial(nodes.scale, by="CANARY"), "a", "b", name="n")]))
    assert "CANARY" not in str(secret)


SAME = [
    ("x = 1\n", "x = 1\n", True),
    ("x = 1\n", "# why\nx  =  1  # because\n", True),
    ("x = 1\n", "\nx = (\n    1\n)\n", True),
    ('"""Says."""\nx = 1\n', "x = 1\n", True),
    ('__version__ = "1"\nx = 1\n', '__version__ = "2"\nx = 1\n', True),
    ("from . import mlops as mlops\nx = 1\n", "x = 1\n", True),
    ("x = 1\n", "x = 1.0\n", False),
    ("x = 1\n", "x = 2\n", False),
    ("x = 1\ny = 2\n", "y = 2\nx = 1\n", False),
    ("x = 1\n", "x = ", False),
]


@pytest.mark.parametrize(("one", "two", "same"), SAME)
def test_code_differs_by_what_it_does(
    mlops: Rooms, tmp_path: Path, one: str, two: str, same: bool
) -> None:
    files = tmp_path / "one.py", tmp_path / "two.py"
    for file, content in zip(files, (one, two), strict=True):
        file.write_text(content, encoding="utf-8")
    assert mlops("model.own_code").same_code(*files) is same
    texts = [file.rename(file.with_suffix(".txt")) for file in files]
    assert mlops("model.own_code").same_code(*texts) is (one == two)
    assert not mlops("model.own_code").same_code(texts[0], tmp_path / "gone.txt")
