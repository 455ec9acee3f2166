"""The package that is rendered, imported under the name that it has in the template."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Protocol

from tests.support.answers import REPOSITORY, choices, questions

SOURCE = REPOSITORY / "template" / "src"
PACKAGE = "{{ package_name }}"

# The owner's part of the package and of the project, by the answer `example`.
EXAMPLES = {
    name: REPOSITORY / "template" / f"{{% if example == '{name}' %}}.{{% endif %}}"
    for name in choices(questions()["example"])
}


class Rooms(Protocol):
    """Imports a module of `mlops/` by its name."""

    def __call__(self, name: str) -> ModuleType: ...


def mlops() -> ModuleType:
    """Import the package `mlops` itself."""
    if str(SOURCE) not in sys.path:
        sys.path.insert(0, str(SOURCE))
        # A project has the default example's pipelines beside `mlops/`.
        import_module(PACKAGE).__path__.append(str(EXAMPLES["regression"] / "src" / PACKAGE))
    return import_module(f"{PACKAGE}.mlops")


def room(name: str) -> ModuleType:
    """Import a module of `mlops/` by its name."""
    return import_module(f"{mlops().__name__}.{name}")


def every_room() -> list[ModuleType]:
    """Import every module of `mlops/`."""
    folder = SOURCE / PACKAGE / "mlops"
    paths = [path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.py"))]
    return [room(".".join(path.parts).removesuffix(".__init__")) for path in paths if path.stem]
