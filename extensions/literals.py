"""Literals: answers written into TOML, YAML and Markdown, to be read back as they were given.

Every function is pure. Copier loads this file alone, so it imports no sibling.
"""

from __future__ import annotations

import re

from jinja2 import Environment
from jinja2.ext import Extension

SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def double_quoted(text: str) -> str:
    r"""A double-quoted string that TOML and YAML both read back as `text`.

    Not `json.dumps`: it leaves DEL as it is, which TOML forbids, and a line separator, which YAML
    folds; with `ensure_ascii` it writes an emoji as two surrogates, which TOML forbids too. Both
    languages read `\u` and `\U`.
    """
    return '"' + "".join(_escaped(character) for character in text) + '"'


def markdown(text: str) -> str:
    """One line of text that Markdown shows as it is: a paragraph, a heading or a table cell."""
    escaped = re.sub(r"([\\`*\[\]<>|~$])", r"\\\1", text)
    # Inside a word an underscore is only itself, and snake_case stays readable in the source.
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    # An entity: `&amp;` typed by a person is five characters.
    escaped = re.sub(r"&(?=#?\w+;)", r"\\&", escaped)
    # A heading's closing marks, an opening mark of a list, a heading or a quote.
    escaped = re.sub(r"(^|(?<=\s))#", r"\\#", escaped)
    escaped = re.sub(r"^([-+=])", r"\\\1", escaped)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped)


def _escaped(character: str) -> str:
    if character in SHORT_ESCAPES:
        return SHORT_ESCAPES[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


class LiteralsExtension(Extension):
    """Gives the template the filters that write an answer into a file of some language."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters with copier's Jinja environment."""
        super().__init__(environment)
        environment.filters.update(
            toml_string=double_quoted,
            yaml_string=double_quoted,
            markdown=markdown,
        )
