"""Promotion: a version becomes the champion if the owner's rules hold, or by force."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backend.client import connect, is_transient, reason_of
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import State
from ..tracking import RunListener
from ..tracking.shipping import Delivery
from . import versions
from .columns import lacking, listed
from .comparison import Elsewhere, columns_of_version, judge_version
from .report import FORCED, NEW, PROMOTED, REFUSED, has_verdict, save_verdict
from .rules import Verdict
from .versions import CHALLENGER, CHAMPION, PROMOTED_FROM, REASON, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

# How tags of a version begin that lead back to where it was trained, through all environments.
TRAINING = "training_"
_SECONDS_TO_WAIT = 120.0
# Another machine may promote after the verdict: then the version is judged again.
_MAX_TRIES = 3


@dataclass(frozen=True)
class Outcome:
    """The result of a promotion; no verdict if the version was the champion already."""

    verdict: Verdict | None
    promoted: bool
    summary: str
    run_id: str = ""  # Of the run that has trained the version.


class Promotion(RunListener):
    """Promotes versions of a project's model; as a listener, at the end of each run."""

    def __init__(self, config: KedroMlflowConfig, state: State) -> None:
        self._config, self._server, self._state = config, config.server, state

    def promote(
        self,
        wanted: str | None = None,
        force: str | None = None,
        dry_run: bool = False,
        new: str | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Outcome:
        """Judge a version, make it the champion if all rules hold, and keep the verdict on its run.

        `wanted` is its number or alias, the challenger if none is given; `force` is the reason to
        promote it even if a rule does not hold, and `new` why it is not compared with the champion.
        With `dry_run` nothing changes or is kept; only then it may be a version
        of `elsewhere`, which is not here yet. A TrackingError says that there is no such
        version, or that it cannot be compared.
        """
        name = self._name
        with self._one_at_a_time() as client:
            for _ in range(_MAX_TRIES):
                version = (
                    elsewhere.version
                    if elsewhere
                    else find_version(name, self._server, wanted or CHALLENGER)
                )
                champion = versions.champion_of(client, name)
                if not elsewhere and _number(version) == _number(champion):
                    if not dry_run:
                        self._complete(client, version)
                    summary = f"Version {version.version} of {name} is the champion already."
                    return Outcome(None, True, summary, str(version.run_id))
                verdict = self._judge(client, version, champion, bool(force), bool(new), elsewhere)
                result, reason = REFUSED, verdict.broken
                if verdict.holds:
                    result, reason = (NEW, new) if new else (PROMOTED, verdict.why)
                elif force:
                    result, reason = FORCED, force
                if dry_run or result == REFUSED:
                    break
                if _number(versions.champion_of(client, name)) == _number(champion):
                    versions.promote_alias(client, version, champion, result, reason)
                    break
            else:
                raise TrackingError(
                    f"The champion of {name} has changed {_MAX_TRIES} times while version {wanted} "
                    "was judged: others are promoting at the same time, try again."
                )
            promoted = result != REFUSED
            if not dry_run:
                save_verdict(client, *self._place_of(version), verdict, result, reason)
                if promoted:
                    versions.clear_challenger(client, version)
        summary = _summary(verdict, result, reason, dry_run)
        return Outcome(verdict, promoted, summary, str(version.run_id))

    def roll_back(self, reason: str, dry_run: bool = False, force: bool = False) -> str:
        """Make the previous champion the champion again; return what was done, as a sentence.

        A TrackingError says that there is none or, without `force`, that it reads columns which the
        champion of today does not.
        """
        name = self._name
        with self._one_at_a_time() as client:
            champion = find_version(name, self._server)
            previous = find_version(name, self._server, versions.previous_of(champion))
            today, before = (columns_of_version(v, self._server) for v in (champion, previous))
            if (missing := lacking(before, today)) and not force:
                way = self._config.typed("promote --rollback --force --reason TEXT")
                raise TrackingError(
                    f"Version {previous.version} of {name} reads {listed(missing)}, which version "
                    f"{champion.version}, the champion, does not read: it was trained on other "
                    f"data, and may not score today's. `{way}` makes it the champion all the same."
                )
            if not dry_run:
                versions.restore_alias(client, champion, previous, reason)
        return (
            f"Version {previous.version} of {name} {'would be' if dry_run else 'is'} the champion "
            f"again, instead of version {champion.version}."
        )

    def run_shipped(self, delivery: Delivery) -> None:
        """Promote the versions that the run has registered; the run succeeds in any case.

        What is raised may succeed later: the registry does not answer.
        """
        for version in filter(None, delivery.versions.values()):
            name, number, _ = version
            if name == self._name:
                outcome = self._promote_at_end(number)
                if outcome.promoted:
                    version[2] = CHAMPION
                else:
                    delivery.not_promoted[number] = outcome.summary
                delivery.save()

    def _promote_at_end(self, version: str) -> Outcome:
        try:
            outcome = self.promote(version)
        except Exception as error:
            # The cause of a TrackingError may be a call that got no answer.
            cause = error.__cause__ if isinstance(error, TrackingError) else error
            if isinstance(cause, Exception) and is_transient(cause):
                raise cause from None
            reason = error.message if isinstance(error, TrackingError) else reason_of(error)
            outcome = Outcome(
                None, False, f"Version {version} of {self._name} is not promoted: {reason}"
            )
            logger.warning("%s", outcome.summary)
        if outcome.verdict:  # The first version is the champion from the start.
            logger.info("%s", outcome.summary)
        return outcome

    @property
    def _name(self) -> str:
        if self._config.model is None:
            raise TrackingError("mlflow.yml names no registered model: set model.name.")
        return self._config.model.name

    def _place_of(self, version: "ModelVersion") -> tuple[str, str]:
        """Return a version's run, and how names of the verdict begin there if others have one."""
        is_shared = version.tags.get(f"{TRAINING}run") == version.run_id
        return str(version.run_id), f"{self._config.environment}/" if is_shared else ""

    def _complete(self, client: "MlflowClient", champion: "ModelVersion") -> None:
        """Do the rest of a promotion that was killed after its version had become the champion."""
        reason, number = champion.tags.get(REASON), champion.tags.get(PROMOTED_FROM)
        if reason and not has_verdict(client, *self._place_of(champion)):
            try:
                previous = find_version(self._name, self._server, number) if number else None
                new = champion.tags.get(versions.VERDICT) == NEW
                verdict = self._judge(client, champion, previous, forced=True, new=new)
                result = (NEW if new else PROMOTED) if verdict.holds else FORCED
                save_verdict(client, *self._place_of(champion), verdict, result, reason)
            except TrackingError as error:
                logger.warning("Version %s gets no verdict: %s", champion.version, error.message)
        versions.clear_challenger(client, champion)

    def _judge(
        self,
        client: "MlflowClient",
        version: "ModelVersion",
        champion: "ModelVersion | None",
        forced: bool,
        new: bool,
        elsewhere: Elsewhere | None = None,
    ) -> Verdict:
        return judge_version(
            client, self._config, self._state, version, champion, forced, new, elsewhere
        )

    @contextmanager
    def _one_at_a_time(self) -> "Iterator[MlflowClient]":
        """Wait until no other process of this machine promotes in this project."""
        with self._state.one_at_a_time("promotion", "promoting", _SECONDS_TO_WAIT):
            yield connect(self._server)


def _summary(verdict: Verdict, result: str, reason: str, dry_run: bool) -> str:
    subject = f"Version {verdict.version} of {verdict.name}"
    if result == REFUSED:
        stays = "would not become" if dry_run else "does not become"
        return f"{subject} {stays} the champion: {verdict.complaints}."
    becomes = "would be the champion" if dry_run else "is the champion now"
    instead = f", instead of version {verdict.champion}" if verdict.champion else ""
    why = reason if result == PROMOTED else f"{result} ({reason})"
    left = f"; not compared: {verdict.not_compared}" if verdict.not_compared else ""
    return f"{subject} {becomes}{instead}: {why}{left}."


def _number(version: "ModelVersion | None") -> str | None:
    return str(version.version) if version else None
