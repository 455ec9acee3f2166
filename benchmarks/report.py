"""The report: tables in Markdown, on the screen and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .measure import Measurement

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


def overhead(
    what: str, ours: Measurement, theirs: Measurement, bare: Measurement, at_most: float
) -> Row:
    """Compare what two ways of tracking add to the time of a bare run.

    Args:
        what: What is measured.
        ours: With the template.
        theirs: With another tracker.
        bare: Without tracking.
        at_most: The largest share of theirs that ours may be.
    """
    added, added_by_theirs = (each.seconds - bare.seconds for each in (ours, theirs))
    share = added / added_by_theirs
    return Row(
        what,
        f"{added:+.2f} s ± {ours.spread:.2f}",
        f"{added_by_theirs:+.2f} s ± {theirs.spread:.2f}",
        f"1/{1 / share:.1f}" if share > 0 else "nothing",
        f"at most 1/{1 / at_most:g}",
        share <= at_most,
        memory_of(ours, theirs),
    )


def count(what: str, ours: int, theirs: int, at_most: int) -> Row:
    """Compare two numbers, such as those of calls."""
    return Row(
        what,
        f"{ours:,}",
        f"{theirs:,}",
        f"{ours / theirs:.2f} x",
        f"at most {at_most}",
        ours <= at_most,
    )


def memory(what: str, ours: Measurement, theirs: Measurement) -> Row:
    """Compare the most memory of both, of which ours may not be the larger one."""
    value = ours.memory / theirs.memory
    return Row(
        what,
        f"{ours.memory / 1e6:.0f} MB",
        f"{theirs.memory / 1e6:.0f} MB",
        f"{value:.2f} x",
        "at most 1 x",
        value <= 1,
    )


def time_of(measured: Measurement) -> str:
    """A median time and its spread."""
    if measured.seconds < 0.1:
        return f"{1000 * measured.seconds:.2f} ms ± {1000 * measured.spread:.2f}"
    return f"{measured.seconds:.2f} s ± {measured.spread:.2f}"


def memory_of(ours: Measurement, theirs: Measurement) -> str:
    """The most memory of both, in MB."""
    return f"{ours.memory / 1e6:.0f} / {theirs.memory / 1e6:.0f} MB"


def circumstances(repetitions: int, versions: dict[str, str]) -> str:
    """When, on what and how often was measured."""
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured on {datetime.now(timezone.utc):%Y-%m-%d}: {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{names}; {repetitions} repetitions where nothing else is said."
    )


def verdict(tables: Sequence[Table]) -> str:
    """Say which bounds do not hold."""
    rows = [row for table in tables for row in table.rows if row.holds is not None]
    missed = [row for row in rows if not row.holds]
    if not missed:
        return f"All {len(rows)} bounds hold."
    lines = [f"  {row.what}: {row.compared}, bound: {row.bound}" for row in missed]
    return "\n".join([f"{len(missed)} of {len(rows)} bounds do NOT hold:", *lines])


def write(page: Path, subject: str, figures: str) -> None:
    """Replace the figures of a subject in a page: what stands between its two marker comments.

    Raises:
        ValueError: The page does not have both of them.
    """
    begin, end = (
        f"<!-- figures of {subject}: written by make bench -->",
        f"<!-- end of {subject} -->",
    )
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{page.name} lacks the line {begin} or {end}.")
    page.write_text(f"{before}{begin}\n\n{figures}\n\n{end}{after}", encoding="utf-8")


def markdown(table: Table, circumstances: str) -> str:
    """One table under its title, with what it compares and when it was measured."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD)), *map(_line, _cells(table.rows))]
    return "\n\n".join([f"### {table.title}", table.comparison, "\n".join(lines), circumstances])


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
