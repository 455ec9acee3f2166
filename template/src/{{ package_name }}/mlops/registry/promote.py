"""Promotion: a version becomes the champion if the rules of mlflow.yml hold, or by force."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backend.client import connect, is_transient, reason_of
from ..config import KedroMlflowConfig
from ..disk import FileLock
from ..errors import TrackingError
from ..project import State
from ..tracking.capture.tags import user_name
from ..tracking.listeners import RunListener
from ..tracking.shipping.sink import Delivery
from .comparison import Measured, logged_metrics, measure
from .report import Verdict, has_verdict, keep_verdict, number
from .rules import judge
from .versions import (
    CHALLENGER,
    CHAMPION,
    PROMOTED_FROM,
    REASON,
    champion_of,
    end_challenge,
    find_version,
    previous_of,
    promote_alias,
    restore_alias,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


_SECONDS_TO_WAIT = 120.0


# Somebody on another machine may promote after the verdict: then it is judged anew.
_TRIES = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a promotion.

    Attributes:
        verdict: what the rules say; none if the version is the champion already.
        promoted: whether the version is the champion now, or would be after a dry run.
        summary: a sentence or two.
    """

    verdict: Verdict | None
    promoted: bool
    summary: str


def promote(
    config: KedroMlflowConfig,
    state: State,
    wanted: str | None = None,
    force: str | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Judge a version, make it the champion if all rules hold, and keep the verdict on its run.

    Args:
        config: mlflow.yml, its places absolute.
        state: the project's state folder.
        wanted: the version's number or alias; the challenger when none is given.
        force: the reason why the version becomes the champion whatever the rules say.
        dry_run: whether nothing is changed and nothing kept.

    Raises:
        TrackingError: there is no such version, it cannot be compared with the champion, or others
            promote without end.
    """
    name = registered_name(config)
    client = connect(config.server)
    with _only_one(state):
        for _ in range(_TRIES):
            version = find_version(name, config.server, wanted or CHALLENGER)
            champion = champion_of(client, name)
            if champion and str(champion.version) == str(version.version):
                if not dry_run:
                    _finish(client, config, state, champion)
                summary = f"Version {version.version} of {name} is the champion already."
                return Outcome(None, True, summary)
            verdict = _examine(client, config, state, version, champion, bool(force))
            if dry_run or not (verdict.holds or force):
                break
            if _number(champion_of(client, name)) != _number(champion):
                continue
            promote_alias(client, version, champion, force or verdict.why, user_name())
            break
        else:
            raise TrackingError(
                f"The champion of {name} has changed {_TRIES} times while version {wanted} was "
                "judged: others are promoting just now, try again."
            )
        outcome = _outcome(verdict, force, dry_run)
        if not dry_run:
            keep_verdict(client, str(version.run_id), verdict, force)
            if outcome.promoted:
                end_challenge(client, version)
        return outcome


class AutoPromotion(RunListener):
    """Promotes the version that a run has registered, at the run's end."""

    def __init__(self, config: KedroMlflowConfig, state: State) -> None:
        self._config, self._state = config, state

    def run_shipped(self, delivery: Delivery) -> None:
        """Judge each registered version, and remember those that became the champion."""
        for version in filter(None, delivery.versions.values()):
            name, number, _ = version
            if promote_at_end(self._config, self._state, name, number):
                version[2] = CHAMPION
                delivery.save()


def promote_at_end(config: KedroMlflowConfig, state: State, name: str, version: str) -> bool:
    """Promote a version that a run has registered, and say so; tell whether it is the champion.

    What forbids it is said, and costs the run nothing. What may go through later is raised.
    """
    if config.model is None or name != config.model.name:
        return False
    try:
        outcome = promote(config, state, version)
    except Exception as error:
        # A TrackingError may tell of a call that got no answer.
        cause = error.__cause__ if isinstance(error, TrackingError) else error
        if isinstance(cause, Exception) and is_transient(cause):
            raise cause from None
        reason = error.message if isinstance(error, TrackingError) else reason_of(error)
        logger.warning("Version %s of %s is not promoted: %s", version, name, reason)
        return False
    if outcome.verdict:  # The first version is the champion from the start.
        logger.info("%s", outcome.summary)
    return outcome.promoted


def roll_back(config: KedroMlflowConfig, state: State, reason: str, dry_run: bool = False) -> str:
    """Make the previous champion the champion again.

    Returns:
        What was done, as a sentence.

    Raises:
        TrackingError: there is no champion, or none was before it.
    """
    name = registered_name(config)
    client = connect(config.server)
    with _only_one(state):
        champion = find_version(name, config.server)
        previous = find_version(name, config.server, previous_of(client, champion))
        if dry_run:
            becomes = "would be"
        else:
            becomes = "is"
            restore_alias(client, champion, previous, reason)
    return (
        f"Version {previous.version} of {name} {becomes} the champion again, instead of version "
        f"{champion.version}."
    )


def registered_name(config: KedroMlflowConfig) -> str:
    """Tell the registered model's name.

    Raises:
        TrackingError: mlflow.yml has none.
    """
    if config.model is None:
        raise TrackingError("mlflow.yml names no registered model: set model.name.")
    return config.model.name


def _examine(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    state: State,
    version: "ModelVersion",
    champion: "ModelVersion | None",
    forced: bool,
) -> Verdict:
    note = ""
    try:
        measured = measure(client, config, state, version, champion)
    except TrackingError as error:
        if not forced:
            raise
        # Who forces it needs no comparison, and is told what there is.
        run = client.get_run(str(version.run_id))
        measured, note = Measured(logged_metrics(run, config.promotion)), str(error.message)
    return Verdict(
        version.name,
        str(version.version),
        _number(champion),
        judge(config.promotion, measured.candidate, measured.champion),
        measured.rows,
        measured.how,
        note,
    )


def _finish(
    client: "MlflowClient", config: KedroMlflowConfig, state: State, champion: "ModelVersion"
) -> None:
    """Do what is left of a promotion that was stopped after its version had become the champion."""
    reason = champion.tags.get(REASON)
    if reason and not has_verdict(client, str(champion.run_id)):
        number = champion.tags.get(PROMOTED_FROM)
        try:
            previous = find_version(champion.name, config.server, number) if number else None
        except TrackingError as error:
            logger.warning("There is no verdict on version %s: %s", champion.version, error.message)
        else:
            verdict = _examine(client, config, state, champion, previous, forced=True)
            keep_verdict(client, str(champion.run_id), verdict, reason)
    end_challenge(client, champion)


def _outcome(verdict: Verdict, force: str | None, dry_run: bool) -> Outcome:
    subject = f"Version {verdict.version} of {verdict.name}"
    instead = f", instead of version {verdict.champion}" if verdict.champion else ""
    if verdict.holds or force:
        becomes = "would be the champion" if dry_run else "is the champion now"
        why = f"forced ({force})" if force and not verdict.holds else verdict.why
        return Outcome(verdict, True, f"{subject} {becomes}{instead}: {why}.")
    broken = "; ".join(
        f"{check.rule} is {number(check.value)}, and must be {check.bound}"
        for check in verdict.checks
        if not check.holds
    )
    stays = "would not become" if dry_run else "does not become"
    return Outcome(verdict, False, f"{subject} {stays} the champion: {broken}.")


@contextmanager
def _only_one(state: State) -> Iterator[None]:
    """Wait until no other process of this machine promotes in this project."""
    state.folder.mkdir(exist_ok=True)
    lock = FileLock(state.folder / "promotion.lock")
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while not lock.take():
        if time.monotonic() > deadline:
            raise TrackingError(
                f"Another process has been promoting in this project for {_SECONDS_TO_WAIT:g} s: "
                "wait for it, or end it, and try again."
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def _number(version: "ModelVersion | None") -> str | None:
    return str(version.version) if version else None
