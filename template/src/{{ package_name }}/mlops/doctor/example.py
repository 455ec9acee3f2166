"""Check what of the example is left, in a project whose owner replaces it file by file."""

from pathlib import Path

from ..model.card import OF_THE_EXAMPLE, described_by
from .setup import Finding, ok, warning

_PLACES = ("*.md", "data/01_raw/*.md", "conf/*/*.yml", "src/*/pipelines/**/*.py")


def example(project_path: Path) -> Finding | None:
    """Name the files that say that they are still the example's; None if there are none."""
    left = {
        path.relative_to(project_path).as_posix(): text
        for place in _PLACES
        for path in sorted(project_path.glob(place))
        if OF_THE_EXAMPLE in (text := path.read_text(encoding="utf-8", errors="replace"))
    }
    if not left:
        return None
    found = f"still the example's: {', '.join(left)}"
    remedy = "README.md says what belongs there. Delete the line that says it from what is yours."
    gone = [data for data in map(described_by, left.values()) if data]
    if any(not (project_path / data).exists() for data in gone):
        return warning(f"{found}; its data are replaced", remedy)
    return ok(found, remedy)
