"""What `--fail-on-drift` makes of what the runs of a command have found."""

from collections.abc import Sequence

import click

from ..errors import TrackingError, listed

# Of a scoring run: the rules that are broken, as "age psi, sex unseen".
DRIFT_TAG, NO_DRIFT = "drift", "none"


class DriftError(TrackingError):
    """The data have drifted; the run itself has finished."""

    exit_code = 3


class NotMeasuredError(TrackingError):
    """Nothing was measured: whether the data have drifted is not known."""

    exit_code = 4


def note(found: str) -> None:
    """Note the rules that a run has broken for the command that has started it, if one has."""
    if command := click.get_current_context(silent=True):
        command.meta.setdefault(__name__, []).append(found)


def noted() -> list[str]:
    """Return what the runs of this command have found, an entry for each that has measured."""
    return list(click.get_current_context().meta.get(__name__, ()))


def require_no_drift(found: Sequence[str]) -> None:
    """Raise what ends a command with 3 if a rule is broken, and with 4 if nothing was measured."""
    if broken := [each for each in found if each != NO_DRIFT]:
        raise DriftError(
            f"--fail-on-drift: the data have drifted since the training "
            f"({listed(broken, 5, str)}). The run has finished, and what it has made is saved: "
            "`kedro mlflow monitor` says how far."
        )
    if not found:
        raise NotMeasuredError(
            "--fail-on-drift: the run has finished, and no drift was measured. That needs the "
            "pipeline that scores, and a version that was trained with monitoring."
        )
