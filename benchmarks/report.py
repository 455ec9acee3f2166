"""The report: tables in Markdown, on the screen and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .measure import Measurement

BEGIN = "<!-- figures: written by make bench -->"
END = "<!-- end of figures -->"

_HEAD = ("what", "ours", "theirs", "compared", "bound", "holds", "peak memory")


@dataclass(frozen=True)
class Row:
    """One line of a table, as it is printed.

    Attributes:
        what: What is measured.
        ours: With the template.
        theirs: Without it.
        compared: A ratio or a difference of the two.
        bound: What that may be; empty when nothing is asked of it.
        holds: Whether it is; none when nothing is asked of it.
        memory: The most memory of both.
    """

    what: str
    ours: str
    theirs: str
    compared: str
    bound: str = ""
    holds: bool | None = None
    memory: str = ""


@dataclass(frozen=True)
class Table:
    """What belongs together: a subject, what is compared with what, and the figures."""

    title: str
    comparison: str
    rows: Sequence[Row]


def ratio(what: str, ours: Measurement, theirs: Measurement, at_most: float | None = None) -> Row:
    """Compare two times by their ratio."""
    value = ours.seconds / theirs.seconds
    return Row(
        what,
        time_of(ours),
        time_of(theirs),
        f"{value:.2f} x",
        f"at most {at_most:g} x" if at_most else "",
        value <= at_most if at_most else None,
        memory_of(ours, theirs),
    )


def difference(what: str, ours: Measurement, theirs: Measurement) -> Row:
    """Compare two times by their difference."""
    return Row(
        what,
        time_of(ours),
        time_of(theirs),
        f"{ours.seconds - theirs.seconds:+.2f} s",
        memory=memory_of(ours, theirs),
    )


def time_of(measured: Measurement) -> str:
    """A median time and its spread."""
    return f"{measured.seconds:.2f} s ± {measured.spread:.2f}"


def memory_of(ours: Measurement, theirs: Measurement) -> str:
    """The most memory of both, in MB."""
    return f"{ours.memory / 1e6:.0f} / {theirs.memory / 1e6:.0f} MB"


def markdown(tables: Sequence[Table], circumstances: str) -> str:
    """The whole report."""
    return "\n\n".join([circumstances, *(_table(table) for table in tables)])


def circumstances(repetitions: int, versions: dict[str, str]) -> str:
    """When, on what and how often was measured."""
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured on {datetime.now(timezone.utc):%Y-%m-%d}: {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{names}. Medians of {repetitions} repetitions ± half of their interquartile range."
    )


def verdict(tables: Sequence[Table]) -> str:
    """Say which bounds do not hold."""
    rows = [row for table in tables for row in table.rows if row.holds is not None]
    missed = [row for row in rows if not row.holds]
    if not missed:
        return f"All {len(rows)} bounds hold."
    lines = [f"  {row.what}: {row.compared}, bound: {row.bound}" for row in missed]
    return "\n".join([f"{len(missed)} of {len(rows)} bounds do NOT hold:", *lines])


def write(page: Path, report: str) -> None:
    """Replace what stands between the two marker comments of a page.

    Raises:
        ValueError: The page does not have both of them.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} lacks the line {BEGIN} or {END}.")
    page.write_text(f"{before}{BEGIN}\n\n{report}\n\n{END}{after}", encoding="utf-8")


def _table(table: Table) -> str:
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD)), *map(_line, _cells(table.rows))]
    return "\n\n".join([f"### {table.title}", table.comparison, "\n".join(lines)])


def _cells(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    answers = {None: "", True: "yes", False: "**no**"}
    for row in rows:
        yield (
            row.what,
            row.ours,
            row.theirs,
            row.compared,
            row.bound,
            answers[row.holds],
            row.memory,
        )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
