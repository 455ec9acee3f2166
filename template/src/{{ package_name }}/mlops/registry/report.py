"""The report of a promotion: on the screen, and kept on the run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..backend.client import is_missing, is_transient, reason_of
from .rules import Check

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What became of a version.
PROMOTED, FORCED, REFUSED = "promoted", "promoted by force", "not promoted"


# The run's tag that tells it.
VERDICT = "promotion.verdict"


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a version.

    Attributes:
        name: the registered model's.
        version: the version that is judged.
        champion: the version that was the champion meanwhile; none if nobody was.
        checks: a rule each.
        rows: how many rows they are about, as far as that is known.
        how: what the comparison rests on, a sentence; empty without one.
        note: what else is to be known, a sentence.
    """

    name: str
    version: str
    champion: str | None
    checks: Sequence[Check] = field(default_factory=list)
    rows: str | None = None
    how: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether all rules hold."""
        return all(check.holds for check in self.checks)

    @property
    def why(self) -> str:
        """Why all rules hold, as part of a sentence."""
        count = len(self.checks)
        if count == 0:
            return "there are no rules in mlflow.yml"
        return "its rule holds" if count == 1 else f"all {count} rules hold"

    @property
    def broken(self) -> str:
        """The rules that do not hold, as a list in a sentence."""
        return ", ".join(check.rule for check in self.checks if not check.holds)


def head(verdict: Verdict) -> str:
    """Say what is judged, on what."""
    against = f" against the champion, version {verdict.champion}" if verdict.champion else ""
    rows = f", on {verdict.rows} rows" if verdict.rows else ""
    return f"Version {verdict.version} of {verdict.name}{against}{rows}"


def on_screen(verdict: Verdict) -> list[str]:
    """Draw the table in aligned columns, a line a rule, its heading first."""
    rows = _table(verdict)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def as_markdown(verdict: Verdict, outcome: str, reason: str) -> str:
    """Write the report that is kept on the run."""
    heading, *rows = [f"| {' | '.join(row)} |" for row in _table(verdict)]
    rule = "|---|" + "---|" * (len(_table(verdict)[0]) - 1)
    time = strftime("%Y-%m-%d %H:%M UTC", gmtime())
    return "\n".join(
        [
            f"# Version {verdict.version}: {outcome}",
            "",
            f"{time}. {' '.join(filter(None, [f'{head(verdict)}.', verdict.how, verdict.note]))}",
            "",
            f"Reason: {reason}",
            *(["", heading, rule, *rows] if verdict.checks else []),
            "",
        ]
    )


def as_tags(verdict: Verdict, outcome: str, reason: str) -> dict[str, str]:
    """List the verdict and its numbers as tags of the run."""
    tags = {
        VERDICT: outcome,
        "promotion.reason": reason,
        "promotion.champion": verdict.champion or "none",
    }
    for check in verdict.checks:
        holds = "holds" if check.holds else "does not hold"
        tags[f"promotion.{check.key}"] = f"{number(check.value)}, {check.bound}: {holds}"
    return tags


def number(value: float | None) -> str:
    """Write a number as it stands in tables."""
    return "not measured" if value is None else f"{value:.5g}"


def _table(verdict: Verdict) -> list[list[str]]:
    against = verdict.champion and any(check.champion is not None for check in verdict.checks)
    columns = ["Rule", f"Version {verdict.version}"]
    columns += [f"Version {verdict.champion}"] if against else []
    rows = [[*columns, "Wanted", "Holds"]]
    for check in verdict.checks:
        row = [check.rule, number(check.value)]
        if against:
            row.append("" if check.champion is None else number(check.champion))
        rows.append([*row, check.bound, "yes" if check.holds else "NO"])
    return rows


logger = logging.getLogger(__name__)


def keep_verdict(client: "MlflowClient", run_id: str, verdict: Verdict, force: str | None) -> None:
    """Keep a table and tags on the run; a run that is gone changes nothing about the champion."""
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    by_force = force is not None and not verdict.holds
    result = FORCED if by_force else PROMOTED if verdict.holds else REFUSED
    reason = (force or "") if by_force else (verdict.why if verdict.holds else verdict.broken)
    tags = [RunTag(*tag) for tag in as_tags(verdict, result, reason).items()]
    against = f"-against-{verdict.champion}" if verdict.champion else ""
    path = f"promotion/version-{verdict.version}{against}.md"
    for keep in (
        partial(client.log_text, run_id, as_markdown(verdict, result, reason), path),
        partial(client.log_batch, run_id, tags=tags),  # The last: they tell that all is there.
    ):
        try:
            keep()
        except (MlflowException, OSError) as error:
            if is_transient(error):
                raise
            logger.warning("The verdict could not be kept on the run: %s", reason_of(error))


def has_verdict(client: "MlflowClient", run_id: str) -> bool:
    """Tell whether a run has the verdict by which its version has become the champion."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).data.tags.get(VERDICT) in (PROMOTED, FORCED)
    except MlflowException as error:
        if is_missing(error):
            return True  # There is nothing to keep it on.
        raise
