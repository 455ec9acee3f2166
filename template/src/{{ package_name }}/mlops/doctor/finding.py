"""What a check has found: a status, a sentence, and what to do."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from ..redaction import mask_text

Status = Literal["ok", "warning", "failed", "skipped"]


_LONGEST_REASON = 200


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        status: how it stands.
        message: what is, in a sentence without a full stop.
        remedy: what to do about it, in whole sentences; empty when there is nothing to do.
        ends: why checks that need this one have nothing to look at, though nothing is wrong.
    """

    status: Status
    message: str
    remedy: str = ""
    ends: str = ""

    def masked(self, secrets: Collection[str]) -> "Finding":
        """Return it without these values in its message, which may quote somebody else."""
        return replace(self, message=mask_text(self.message, secrets))


def ok(message: str, ends: str = "") -> Finding:
    """Nothing to do."""
    return Finding("ok", message, ends=ends)


def warning(message: str, remedy: str) -> Finding:
    """Runs are tracked all the same."""
    return Finding("warning", message, remedy)


def failed(message: str, remedy: str) -> Finding:
    """Runs are not tracked, or not wholly."""
    return Finding("failed", message, remedy)


def skipped(message: str) -> Finding:
    """There was nothing to look at."""
    return Finding("skipped", message)


def reason(error: BaseException) -> str:
    """Cut an error of somebody else's down to what fits in a sentence."""
    text = " ".join((str(error) or type(error).__name__).split("\n", 1)[0].split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."
