"""A verdict is kept with the run whose version it is about."""

import logging
from functools import partial
from typing import TYPE_CHECKING

from ..shipping.client import is_missing, is_transient, reason_of
from .report import FORCED, PROMOTED, REFUSED, VERDICT, Verdict, as_markdown, as_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
