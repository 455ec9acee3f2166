"""The report of a promotion: on the screen, and kept on the run."""

import logging
from functools import partial
from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..backend.client import if_exists, is_transient, reason_of
from ..model.card import markdown_table
from .rules import Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PROMOTED, FORCED, REFUSED = "promoted", "promoted by force", "not promoted"
_RESULT_TAG = "promotion.verdict"


def on_screen(verdict: Verdict) -> list[str]:
    """Format the table in aligned columns: the heading, then one line per rule."""
    rows = _table(verdict)
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


def as_tags(verdict: Verdict, result: str, reason: str) -> dict[str, str]:
    """List the verdict and its numbers as tags of the run."""
    tags = {
        _RESULT_TAG: result,
        "promotion.reason": reason,
        "promotion.champion": verdict.champion or "none",
    }
    for check in verdict.checks:
        holds = "holds" if check.holds else "does not hold"
        tags[f"promotion.{check.key}"] = f"{number(check.value)}, {check.bound}: {holds}"
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
        rows.append([check.rule, *values, check.bound, "yes" if check.holds else "NO"])
    return rows


def save_verdict(client: "MlflowClient", run_id: str, verdict: Verdict, force: str | None) -> None:
    """Keep a table and tags on the run; a run that is gone changes nothing about the champion."""
    from mlflow.entities import RunTag
    from mlflow.exceptions import MlflowException

    result, reason = REFUSED, verdict.broken
    if verdict.holds:
        result, reason = PROMOTED, verdict.why
    elif force is not None:
        result, reason = FORCED, force
    tags = [RunTag(*tag) for tag in as_tags(verdict, result, reason).items()]
    against = f"-against-{verdict.champion}" if verdict.champion else ""
    path = f"promotion/version-{verdict.version}{against}.md"
    for save in (
        partial(client.log_text, run_id, as_markdown(verdict, result, reason), path),
        partial(client.log_batch, run_id, tags=tags),  # The last: they say that all is there.
    ):
        try:
            save()
        except (MlflowException, OSError) as error:
            if is_transient(error):
                raise
            logger.warning("The verdict could not be kept on the run: %s", reason_of(error))


def has_verdict(client: "MlflowClient", run_id: str) -> bool:
    """Return whether a run has the verdict that has made its version the champion, or is gone."""
    run = if_exists(client.get_run, run_id)
    return run is None or run.data.tags.get(_RESULT_TAG) in (PROMOTED, FORCED)
