"""Templates of one line, compiled once: copier compiles each part of each path again for each file.

Copier loads this file alone, so it imports no sibling.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from jinja2.ext import Extension


class CompiledOnceExtension(Extension):
    """Lets copier's Jinja environment remember what it has compiled from a text."""

    def __init__(self, environment: Environment) -> None:
        """Remember by the text; what is rendered from it depends on the context as before."""
        super().__init__(environment)
        environment.from_string = cache(environment.from_string)  # type: ignore[assignment, method-assign]
