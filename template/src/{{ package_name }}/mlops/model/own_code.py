"""The owner's code that a pipeline runs: the modules of `src/` that it imports, by their text.

An import inside a function counts as much as one at the top of a file. Nothing is imported here.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from filecmp import cmp
from functools import partial
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from kedro.pipeline import Pipeline

from ..mlflow_internals import node_wiring
from ..project import PACKAGE, PACKAGE_FOLDER, TEMPLATE_FOLDER, own_files

SOURCE = PACKAGE_FOLDER.parent
_INSTALLED = {"site-packages", "dist-packages"}
# Code that catches one of these continues without the import.
_CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_IMPORTS_BY_NAME = ("import_module", "__import__")
# Its docstring, its version, and the template's line in the package's `__init__.py`.
_ABOUT_ITSELF = ("'", '"', "__version__ = ", "from . import mlops")
_MOST_NESTED = 5


class OwnModules(NamedTuple):
    """The modules of `src/` that a pipeline needs, without the template's."""

    found: Mapping[str, Path]  # Their files, by their names.
    missing: Mapping[str, str]  # What is neither in `src/` nor installed, and who imports it.

    @property
    def files(self) -> list[str]:
        """Their files, by their paths in `src/`."""
        return sorted(path.relative_to(SOURCE).as_posix() for path in self.found.values())

    @property
    def tops(self) -> set[Path]:
        """The folders and files right below `src/` that hold them."""
        return {SOURCE / file.partition("/")[0] for file in self.files}


def own_modules(pipeline: Pipeline, *names: str) -> OwnModules:
    """Find the modules of a pipeline's functions, and of objects by their names, and their imports.

    A module that imports by a name that is not in its text may mean any module of its package: all
    of them count then.
    """
    functions = [name for node in pipeline.nodes for name in _modules_of(node.func)]
    return _reached([*functions, *names])


def own_modules_of_project() -> OwnModules:
    """Find all modules of the project's package, and what else of `src/` they import."""
    return _reached(_modules_below(PACKAGE_FOLDER))


def wiring(pipeline: Pipeline) -> dict[str, str]:
    """Return a digest of each node: its function, what is bound to that, its inputs and outputs."""
    texts = {node.name: f"{_described(node.func)} {node_wiring(node)}" for node in pipeline.nodes}
    return {name: sha256(texts[name].encode()).hexdigest()[:16] for name in sorted(texts)}


def same_code(file: Path, other: Path) -> bool:
    """Return whether two files are the same; of Python's, whether they do the same."""
    if not (file.is_file() and other.is_file()):
        return False
    if cmp(file, other, shallow=False) or file.suffix != ".py":
        return cmp(file, other, shallow=False)
    try:
        return _meaning(file.read_bytes()) == _meaning(other.read_bytes())
    except (SyntaxError, ValueError):
        return False


def _meaning(source: bytes) -> str:
    """Write a module's code without comments, layout, and what it says about itself."""
    tree = ast.parse(source)
    tree.body = [each for each in tree.body if not ast.unparse(each).startswith(_ABOUT_ITSELF)]
    return ast.dump(tree)


def _reached(names: Iterable[str]) -> OwnModules:
    found: dict[str, Path] = {}
    missing: dict[str, str] = {}
    waiting = list(names)
    tops = {path.name.partition(".")[0] for path in SOURCE.glob("*")}
    while waiting:
        wanted = waiting.pop()
        name, path = _module_in(wanted) if wanted.partition(".")[0] in tops else ("", None)
        if path is None or name in found:
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0])  # A package runs before its modules.
        for imported, is_needed in _imports(name, path):
            if imported:
                waiting.append(imported)
            else:
                waiting += _modules_below(SOURCE / path.relative_to(SOURCE).parts[0])
            if imported and is_needed and not _is_known(imported):
                missing.setdefault(imported, name)
    return OwnModules(found, missing)


def _module_in(name: str) -> tuple[str, Path | None]:
    """Find the module of `src/` in a name that may have more behind it, such as a class."""
    while name and (path := _file_of(name)) is None:
        name = name.rpartition(".")[0]
    return name, path if name else None


def _file_of(name: str) -> Path | None:
    """Return the file of a module of `src/`; none for a bare folder and for the template's code."""
    base = SOURCE.joinpath(*name.split("."))
    # As an installed package the project has other people's packages beside it.
    is_others = base.parts[len(SOURCE.parts)] != PACKAGE and _INSTALLED & set(SOURCE.parts)
    if is_others or base.is_relative_to(TEMPLATE_FOLDER):
        return None
    files = [base.with_name(base.name + suffix) for suffix in (".py", *EXTENSION_SUFFIXES)]
    return next(filter(Path.is_file, [base / "__init__.py", *files]), None)


def _modules_below(folder: Path) -> list[str]:
    paths = (path.relative_to(SOURCE).with_suffix("") for path in sorted(own_files(folder)))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def _is_known(name: str) -> bool:
    """Return whether a module is in `src/` or installed, so that it is where the model is."""
    top = name.partition(".")[0]
    if name in sys.modules and (SOURCE / top).exists():  # An old name of the template's, perhaps.
        return True
    if (SOURCE / top).is_dir() or _file_of(top):
        base = SOURCE.joinpath(*name.split("."))
        return base.is_dir() or base.is_relative_to(TEMPLATE_FOLDER) or _file_of(name) is not None
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return any(_INSTALLED & set(Path(place).parts) for place in places if place)


def _imports(name: str, path: Path) -> Iterator[tuple[str, bool]]:
    """List what a module imports, and whether that has to be there; "" where it is not in its text.

    What only type checkers read is left out.
    """
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes() if path.suffix == ".py" else b"")))
    except (SyntaxError, ValueError):  # Python says so when it is imported.
        return
    unread = {each for node in nodes if _is_for_types(node) for each in _below(node)}
    optional = {each for node in nodes if _is_optional(node) for each in _below(node)}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes:
        if node not in unread:
            for imported, is_module in _named(node, package):
                yield imported, is_module and node not in optional


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _is_optional(node: ast.AST) -> bool:
    caught = [each.type for each in node.handlers] if isinstance(node, ast.Try) else []
    names = (re.findall(r"\w+", ast.unparse(each)) if each else _CAUGHT for each in caught)
    return any(not _CAUGHT.isdisjoint(each) for each in names)


def _below(node: Any) -> Iterator[ast.AST]:
    return (each for statement in node.body for each in ast.walk(statement))


def _named(node: ast.AST, package: str) -> Iterator[tuple[str, bool]]:
    """Return the modules that a statement or call names, and whether it can be nothing else."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, True) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute("." * node.level + (node.module or ""), package)
        yield base, True
        yield from ((f"{base}.{alias.name}", False) for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_IMPORTS_BY_NAME):
        name = getattr(node.args[0], "value", None) if node.args else None
        is_known = isinstance(name, str)
        yield (_absolute(str(name), package) if is_known else ""), is_known


def _absolute(name: str, package: str) -> str:
    try:
        return resolve_name(name, package)
    except ImportError:  # Above the top of its package.
        return name.strip(".")


def _modules_of(function: Any, depth: int = 0) -> Iterator[str]:
    """Name the modules of a function and of what is bound to it."""
    yield str(getattr(function, "__module__", None) or type(function).__module__)
    for each in _bound(function, depth):
        yield from _modules_of(each, depth + 1)


def _described(value: Any, depth: int = 0) -> str:
    """Describe a function and what is bound to it, the same in every process."""
    if value is None or type(value) in (str, int, float, bool, bytes):
        return repr(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    bound = ", ".join(_described(each, depth + 1) for each in _bound(value, depth))
    return f"{named.__module__}.{named.__qualname__}" + (f"({bound})" if bound else "")


def _bound(value: Any, depth: int) -> list[Any]:
    """List what a function was given when it was made: arguments, closures, attributes."""
    found: Any = []
    if depth == _MOST_NESTED or inspect.isclass(value):
        pass
    elif isinstance(value, partial):
        found = [value.func, *value.args, value.keywords]
    elif type(value) is dict:
        found = [each for item in value.items() for each in item]
    elif inspect.ismethod(value):
        found = [value.__func__, value.__self__]
    elif inspect.isfunction(value):
        with suppress(ValueError):  # A variable that has no value yet.
            found = [cell.cell_contents for cell in value.__closure__ or ()]
    elif type(value) in (list, tuple):
        found = value
    elif callable(value):
        found = getattr(value, "__dict__", {}).values()
    return list(found)
