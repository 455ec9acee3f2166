"""Values in the project's parameters.yml, changed in place: all other text stays as it is."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from ..disk import write_atomically
from ..errors import TrackingError
from .space import lookup


def changed_files(folders: list[Path], values: Mapping[str, Any]) -> dict[Path, str]:
    """Return the new text of each file that has one of these parameters; nothing is written.

    Of the folders of configuration, the first that has a parameter counts. A TrackingError says
    that it is written in a way that cannot be changed here.
    """
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in folders
        for pattern in ("parameters*", "parameters*/**/*", "**/parameters*")
        for path in sorted(folder.glob(pattern))
        if path.suffix in (".yml", ".yaml")
    }
    changed = dict(texts)
    for name, value in values.items():
        path = next((path for path, text in texts.items() if _find(text, name)), None)
        text = _with_value(changed[path], name, value) if path else None
        if path is None or text is None:
            raise TrackingError(
                f"{name} is not a plain value in a parameters.yml: write {value!r} there by hand."
            )
        changed[path] = text
    return {path: text for path, text in changed.items() if text != texts[path]}


def diff(before: Path, after: str, project_path: Path) -> str:
    """Show what changes in a file."""
    name = before.relative_to(project_path).as_posix()
    old = before.read_text(encoding="utf-8").splitlines(keepends=True)
    new = after.splitlines(keepends=True)
    return "".join(difflib.unified_diff(old, new, name, name, n=1))


def write(files: Mapping[Path, str]) -> None:
    """Write the files."""
    for path, text in files.items():
        write_atomically(path, text.encode())


def _with_value(text: str, name: str, value: Any) -> str | None:
    """Put a value in the place of another one; none if that would change more than this."""
    node = _find(text, name)
    if not isinstance(node, ScalarNode) or "${" in node.value:
        return None
    written = yaml.safe_dump(value, allow_unicode=True).splitlines()[0]
    start, end = node.start_mark.index, node.end_mark.index
    changed = f"{text[:start]}{written}{text[end:]}"
    try:
        before, after = yaml.safe_load(text), yaml.safe_load(changed)
    except yaml.YAMLError:  # An anchor was there.
        return None
    if lookup(after, name) != value:
        return None
    *parents, last = name.split(".")
    place = lookup(before, ".".join(parents)) if parents else before
    place[last] = value
    return changed if before == after else None


def _find(text: str, name: str) -> Node | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in name.split("."):
        if not isinstance(node, MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == part), None)
    return node
