"""The drift of a scoring run, for people: a table and a figure."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batches import Finding

_MEASURES = ("psi", "p_value", "missing", "unseen", "out_of_range")
_MOST_DRAWN = 12
_ACROSS = 3


def write_report(findings: "Sequence[Finding]", folder: Path) -> list[Path]:
    """Write the table and the figure into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table, figure = folder / "drift.csv", folder / "drift.png"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["column", "group", "kind", "rows", *_MEASURES, "broken"])
        for each in findings:
            kind = "prediction" if each.is_predicted else "input"
            measures = [f"{each.measured[n]:.4g}" if n in each.measured else "" for n in _MEASURES]
            about = (each.column, each.group, kind, each.counts.rows)
            writer.writerow([*about, *measures, " ".join(each.broken)])
    _draw(findings, figure)
    return [table, figure]


def _draw(findings: "Sequence[Finding]", path: Path) -> None:
    """Draw the shares before and now of the columns that have drifted most."""
    from matplotlib.figure import Figure

    drawn = [each for each in findings if not each.group and "psi" in each.measured]
    drawn = sorted(drawn, key=lambda each: -each.measured["psi"])[:_MOST_DRAWN]
    down = max(1, -(-len(drawn) // _ACROSS))
    figure = Figure(figsize=(4 * _ACROSS, 2.6 * down), layout="constrained")
    for place, each in enumerate(drawn, 1):
        axes = figure.add_subplot(down, _ACROSS, place)
        counts, buckets = each.counts.buckets, each.reference.buckets
        now = [count / max(sum(counts), 1) for count in counts]
        for shift, shares, label in ((-0.2, each.reference.shares, "training"), (0.2, now, "now")):
            axes.bar([n + shift for n in range(len(buckets))], shares, 0.4, label=label)
        axes.set_xticks(range(len(buckets)), buckets, rotation=90, fontsize=6)
        color = "tab:red" if each.broken else "black"
        axes.set_title(f"{each.column}: PSI {each.measured['psi']:.2g}", fontsize=9, color=color)
        if place == 1:
            axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
