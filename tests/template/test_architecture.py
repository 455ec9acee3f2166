"""The wall around `mlops/`, the arrows between its rooms, and its budget, read from the code.

Imports go down the list in the docstring of `mlops/__init__.py`. What is left of a budget:
`pytest -s tests/template/test_architecture.py`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.answers import Render
from tests.support.rooms import EXAMPLES, PACKAGE, SOURCE, mlops

FOLDER = SOURCE / PACKAGE

# For the default answers, Python files alone: every feature that comes is paid for here.
MOST_FILES, MOST_LINES = 143, 22_810
MOST_LINES_OF_OWNERS = 520
OWNERS = ("pipelines", "pipeline_registry.py")


@dataclass(frozen=True)
class Import:
    """One import statement.

    Attributes:
        source: the module that it is in, below the package: `mlops.tracking.run`.
        target: what is imported: a module of the package by its name there, or any other library.
        names: what is taken from it.
        when: "now" when the module is imported, "later" in a function, "never" for types alone.
    """

    source: str
    line: int
    target: str
    names: tuple[str, ...]
    when: str

    def __str__(self) -> str:
        return f"{self.source.replace('.', '/')}.py:{self.line} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    """The modules of the package that is rendered, by their names below it.

    Each example has `pipelines/`: these are called by the example.
    """
    found = {}
    pipelines = {name: folder / "src" / PACKAGE / "pipelines" for name, folder in EXAMPLES.items()}
    for name, folder in {"": FOLDER, **pipelines}.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (name, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(filter(None, parts)).removesuffix(".__init__")] = path
    return found


@cache
def imports() -> list[Import]:
    return [found for module, path in modules().items() for found in imports_of(module, path)]


def imports_of(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text("utf-8"))
    when = {
        node: "later" if isinstance(parent, ast.FunctionDef) else "never"
        for parent in ast.walk(tree)
        if isinstance(parent, ast.FunctionDef)
        or (isinstance(parent, ast.If) and ast.unparse(parent.test) == "TYPE_CHECKING")
        for node in ast.walk(parent)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name, (), when.get(node, "now"))
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            base = target_of(node, package)
            for name in names:
                whole = f"{base}.{name}".lstrip(".")
                target = whole if whole in modules() else base
                yield Import(module, node.lineno, target, names, when.get(node, "now"))


def target_of(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names; relative ones by their names below the package."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def within(imported: Import) -> bool:
    """Whether both ends are in `mlops/`."""
    return is_ours(imported.source) and is_ours(imported.target)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "mlops"


def room_of(module: str) -> str:
    """The room of a module of `mlops/`, as the list names it: a folder, or a file."""
    name = module.split(".")[1] if "." in module else "__init__"
    return f"{name}/" if (FOLDER / "mlops" / name).is_dir() else f"{name}.py"


@cache
def levels() -> dict[str, int]:
    """The rooms from the top of the list to its end, as the docstring has it."""
    text = ast.get_docstring(ast.parse((FOLDER / "mlops/__init__.py").read_text("utf-8"))) or ""
    lines = re.findall(r"^    (\S.*?)(?:   |$)", text, re.MULTILINE)
    names = [name for line in lines for name in line.split()]
    listed = {name: level for level, name in enumerate(names)}
    beside = {path.name for path in (FOLDER / "mlops").glob("*.py")} - set(names)
    return {"__init__.py": -1} | listed | dict.fromkeys(beside - {"__init__.py"}, len(names))


# --- the arrows ---


def test_every_room_is_on_the_list() -> None:
    folders = {f"{path.parent.name}/" for path in (FOLDER / "mlops").glob("*/__init__.py")}
    assert folders <= levels().keys()
    assert {name for name in levels() if name.endswith("/")} <= folders


def test_imports_go_down_the_list() -> None:
    wrong = [
        f"{imported}: {room_of(imported.source)} is below {room_of(imported.target)}"
        for imported in filter(within, imports())
        if levels()[room_of(imported.source)] > levels()[room_of(imported.target)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for imported in filter(within, imports()):
        if imported.when == "now" and imported.source != imported.target:
            graph.setdefault(imported.source, set()).update(executed(imported))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' <- '.join(error.args[1])}")


def executed(imported: Import) -> Iterator[str]:
    """The modules that an import runs: packages above its target, which run first, are some."""
    parts = imported.target.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if not f"{imported.source}.".startswith(f"{module}.") or module == imported.target:
            yield module


def test_private_modules_of_libraries_are_imported_in_one_file() -> None:
    wrong = [
        str(imported)
        for imported in imports()
        if re.search(r"(^|\.)_[a-z]", imported.target)
        and is_ours(imported.source)
        and imported.source != "mlops.mlflow_internals"
    ]
    assert not wrong, "\n".join(wrong)


# --- the wall ---


def test_mlops_imports_nothing_of_the_owners() -> None:
    """But the pipelines, by their names in Kedro's registry."""
    wrong = [
        str(imported)
        for imported in imports()
        if is_ours(imported.source)
        and not is_ours(imported.target)
        and (imported.target in modules() or imported.target.partition(".")[0] in beside_mlops())
    ]
    assert not wrong, "\n".join(wrong)
    by_name = [
        (module, part)
        for module, path in modules().items()
        if is_ours(module)
        for call in calls_of_import_module(path)
        for part in re.findall(r"\w+", call)
        if part in beside_mlops()
    ]
    assert by_name == [("mlops.project", "pipeline_registry")]


def beside_mlops() -> set[str]:
    return {name.partition(".")[0] for name in modules() if name} - {"mlops", "__init__"}


def calls_of_import_module(path: Path) -> Iterator[str]:
    """The arguments of `import_module` in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield ast.unparse(node.args[0])


def test_the_owners_code_imports_public_names_alone() -> None:
    public = {("mlops", name) for name in mlops().PUBLIC}
    # cli.py is shared: it takes the commands, for its owner to add some.
    public |= {("mlops.cli", "cli"), ("mlops.cli", "run")}
    wrong = [
        f"{imported}: {name} is not public"
        for imported in imports()
        if not is_ours(imported.source) and is_ours(imported.target)
        for name in imported.names or ["it"]
        if (imported.target, name) not in public
    ]
    assert not wrong, "\n".join(wrong)


# --- the budget ---


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_code_of_the_default_project_keeps_its_budget(example: str, render: Render) -> None:
    folder = next((render(example=example) / "src").iterdir())
    files = {
        path.relative_to(folder): len(path.read_text("utf-8").splitlines())
        for path in folder.rglob("*.py")
    }
    ours = {path: lines for path, lines in files.items() if path.parts[0] == "mlops"}
    rooms = Counter[str]()
    for path, lines in ours.items():
        rooms[path.parts[1] if len(path.parts) > 2 else "top"] += lines
    for name, lines in rooms.most_common():
        count = sum((path.parts[1] if len(path.parts) > 2 else "top") == name for path in ours)
        print(f"{name:12} {count:3} files {lines:6,} lines")
    print(f"{'mlops/':12} {len(ours):3} files {sum(ours.values()):6,} lines")
    owners = sum(lines for path, lines in files.items() if path.parts[0] in OWNERS)
    print(f"{'the owner':12} {owners:17,} lines")
    assert len(ours) <= MOST_FILES
    assert sum(ours.values()) <= MOST_LINES
    assert owners <= MOST_LINES_OF_OWNERS
