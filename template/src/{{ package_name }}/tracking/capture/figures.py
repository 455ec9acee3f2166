"""Figures: matplotlib and plotly objects that a node returns."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import whole_or_gone
from .limits import mend_name

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


def copy_figures(
    files: Mapping[str, str], outputs: Collection[str], folder: Path, started: int
) -> Iterator[tuple[str, Path]]:
    """Copy the figures that a run's nodes have returned and the catalog has saved.

    Args:
        files: as `files_of_figures` finds them.
        outputs: the data sets that the run's nodes have returned.
        folder: where to.
        started: the run's start in ms since 1970: an older file is not the run's.

    Yields:
        The data sets and the copies of their figures.
    """
    for name in sorted(files.keys() & set(outputs)):
        file = Path(files[name])
        if file.is_file() and file.stat().st_mtime_ns // 1_000_000 >= started:
            copy = folder / f"{mend_name(name)}{file.suffix}"
            with whole_or_gone(copy):
                shutil.copyfile(file, copy)
            yield name, copy


def _is_a(value: Any, module: str, name: str) -> bool:
    """Tell an object's kind by name, so that no plotting library is imported to find out."""
    return any(base.__module__ == module and base.__name__ == name for base in type(value).__mro__)
