"""The report of a promotion: on the screen, and kept on the run."""

import logging
from functools import partial
from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..backend.client import if_exists, is_transient, reason_of
from ..model.card import Table, markdown_table
from .rules import Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PROMOTED, FORCED, REFUSED = "promoted", "forced", "not promoted"
NEW = "new champion"  # Of another problem: it was not compared with the one before.
_TAGS = "promotion."
_RESULT_TAG = f"{_TAGS}verdict"
_RULE_TAGS = tuple(f"{_TAGS}{kind}." for kind in ("thresholds", "slices", "improvement"))
_SAYS = {True: ("yes", "holds"), False: ("NO", "does not hold"), None: ("not compared",) * 2}


def on_screen(verdict: Verdict) -> list[str]:
    """Format the table in aligned columns: the heading, then one line per rule."""
    return aligned(_table(verdict))


def aligned(rows: Table) -> list[str]:
    """Format a table in aligned columns, one line per row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def as_markdown(verdict: Verdict, result: str, reason: str) -> str:
    """Write the report that is kept on the run."""
    time = strftime("%Y-%m-%d %H:%M UTC", gmtime())
    about = " ".join(filter(None, [f"{time}. {verdict.title}.", verdict.how, verdict.note]))
    parts = [f"# Version {verdict.version}: {result}", about, f"Reason: {reason}"]
    if verdict.checks:
        parts.append(markdown_table(_table(verdict)))
    return "\n\n".join(parts) + "\n"


def as_comment(name: str, summary: str, verdict: Verdict | None = None, run: str = "") -> str:
    """Write what CI comments on a request: its first line is how CI finds it again."""
    parts = [f"<!-- kedro mlflow promote: {name} -->\n### {' '.join(summary.split())}"]
    if verdict:
        about = " ".join(filter(None, [f"{verdict.title}.", verdict.how, verdict.note]))
        parts += [about, markdown_table(_table(verdict))] if verdict.checks else [about]
    return "\n\n".join(filter(None, [*parts, run])) + "\n"


def as_tags(verdict: Verdict, result: str, reason: str) -> dict[str, str]:
    """List the verdict and its numbers as tags of the run."""
    tags = {
        _RESULT_TAG: result,
        f"{_TAGS}reason": reason,
        f"{_TAGS}champion": verdict.champion or "none",
    }
    for check in verdict.checks:
        holds = _SAYS[check.holds][1]
        tags[f"{_TAGS}{check.key}"] = f"{number(check.value)}, {check.bound}: {holds}"
    return tags


def number(value: float | None) -> str:
    """Format a number for tables."""
    return "not measured" if value is None else f"{value:.5g}"


def _table(verdict: Verdict) -> list[list[str]]:
    compared = verdict.champion and any(check.champion is not None for check in verdict.checks)
    versions = [verdict.version, verdict.champion] if compared else [verdict.version]
    rows = [["Rule", *(f"Version {each}" for each in versions), "Wanted", "Holds"]]
    for check in verdict.checks:
        champion = "" if check.champion is None else number(check.champion)
        values = [number(check.value), champion][: len(versions)]
        rows.append([check.rule, *values, check.bound, _SAYS[check.holds][0]])
    return rows


def save_verdict(
    client: "MlflowClient", run_id: str, place: str, verdict: Verdict, result: str, reason: str
) -> None:
    """Keep a table and tags on the run; a run that is gone changes nothing about the champion."""
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    tags = {f"{place}{key}": text for key, text in as_tags(verdict, result, reason).items()}
    against = f"-against-{verdict.champion}" if verdict.champion else ""
    path = f"{place}promotion/version-{verdict.version}{against}.md"

    def forget_earlier() -> None:
        for tag in client.get_run(run_id).data.tags:
            if tag.startswith(tuple(f"{place}{each}" for each in _RULE_TAGS)) and tag not in tags:
                client.delete_tag(run_id, tag)

    for save in (
        partial(client.log_text, run_id, as_markdown(verdict, result, reason), path),
        forget_earlier,
        # The last: they say that all is there.
        partial(client.log_batch, run_id, tags=[RunTag(*tag) for tag in tags.items()]),
    ):
        try:
            save()
        except (MlflowException, OSError) as error:
            if is_transient(error):
                raise
            logger.warning("The verdict could not be kept on the run: %s", reason_of(error))


def has_verdict(client: "MlflowClient", run_id: str, place: str) -> bool:
    """Return whether a run has the verdict that has made its version the champion, or is gone."""
    run = if_exists(client.get_run, run_id)
    # As version 2.0 of the template called one by force.
    made = (PROMOTED, FORCED, NEW, "promoted by force")
    return run is None or run.data.tags.get(f"{place}{_RESULT_TAG}") in made
