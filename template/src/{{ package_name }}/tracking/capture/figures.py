"""Figures: matplotlib and plotly objects that a node returns."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import whole_or_gone

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline


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
        with whole_or_gone(path):
            value.savefig(path)
        return path
    if _is_a(value, "plotly.basedatatypes", "BaseFigure"):
        path = path.with_name(f"{path.name}.html")
        with whole_or_gone(path):
            value.write_html(path, include_plotlyjs="cdn")
        return path
    return None


def files_of_figures(pipeline: "Pipeline", catalog: "DataCatalog") -> dict[str, str]:
    """Find the figures that the catalog saves to a file: drawing them once is enough.

    Returns:
        The files, by data set, of matplotlib figures among the pipeline's outputs.
    """
    entries = catalog.to_config()[0]
    return {
        name: entries[name]["filepath"]
        for name in sorted(pipeline.all_outputs() & entries.keys())
        if str(entries[name]["type"]).endswith(".MatplotlibDataset")
        and not entries[name].get("versioned")
        and "://" not in entries[name]["filepath"]
    }


def copy_figure(file: Path, path: Path) -> Path | None:
    """Copy a figure that the catalog has saved.

    Args:
        file: the catalog's.
        path: where to, without a suffix.

    Returns:
        The copy; none if there is no file: several figures are a folder.
    """
    if not file.is_file():
        return None
    path = path.with_name(f"{path.name}{file.suffix}")
    with whole_or_gone(path):
        shutil.copyfile(file, path)
    return path


def _is_a(value: Any, module: str, name: str) -> bool:
    """Tell an object's kind by name, so that no plotting library is imported to find out."""
    return any(base.__module__ == module and base.__name__ == name for base in type(value).__mro__)
