"""Figures: matplotlib and plotly objects that a node returns."""

from pathlib import Path
from typing import Any


def save_figure(value: Any, path: Path) -> Path | None:
    """Save a figure beside the journal.

    Args:
        value: what a node returned.
        path: where to, without a suffix.

    Returns:
        The file: PNG for matplotlib, HTML for plotly, none for anything else.
    """
    if _is_a(value, "matplotlib.figure", "Figure"):
        path = path.with_name(f"{path.name}.png")
        value.savefig(path)
        return path
    if _is_a(value, "plotly.basedatatypes", "BaseFigure"):
        path = path.with_name(f"{path.name}.html")
        value.write_html(path, include_plotlyjs="cdn")
        return path
    return None


def _is_a(value: Any, module: str, name: str) -> bool:
    """Tell an object's kind by name, so that no plotting library is imported to find out."""
    return any(base.__module__ == module and base.__name__ == name for base in type(value).__mro__)
