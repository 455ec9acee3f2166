"""The registry's side of a promotion: the alias, and tags that tell the history."""

from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..errors import TrackingError
from ..shipping.client import is_missing
from ..shipping.models import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Unity Catalog takes no dots in the names of tags, and no long values.
PROMOTED_FROM, REASON = "promoted_from", "promotion_reason"
_LONGEST_REASON = 250


def champion_of(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Ask who is the champion; none if nobody is."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def crown(
    client: "MlflowClient",
    version: "ModelVersion",
    previous: "ModelVersion | None",
    reason: str,
    user: str,
) -> None:
    """Make a version the champion. Who serves and scores changes in one call.

    What tells the history is written first: who sees the new champion finds the way back.
    """
    name, number = version.name, str(version.version)
    tags = {
        "promoted_at": _now(),
        "promoted_by": user,
        REASON: reason[:_LONGEST_REASON],
        PROMOTED_FROM: str(previous.version) if previous else "",
    }
    for key, value in tags.items():
        if value:
            client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHAMPION, number)


def end_challenge(client: "MlflowClient", champion: "ModelVersion") -> None:
    """Take the challenger's alias from a version that has become the champion."""
    if _has(client, champion.name, CHALLENGER, str(champion.version)):
        client.delete_registered_model_alias(champion.name, CHALLENGER)


def previous_of(client: "MlflowClient", champion: "ModelVersion") -> str:
    """Tell which version was the champion before this one.

    Raises:
        TrackingError: none was.
    """
    previous = champion.tags.get(PROMOTED_FROM)
    if not previous:
        raise TrackingError(
            f"Version {champion.version} of {champion.name} was not promoted over another one: "
            "there is no way back. `--version N --force --reason` makes any version the champion."
        )
    return str(previous)


def dethrone(
    client: "MlflowClient", champion: "ModelVersion", previous: "ModelVersion", reason: str
) -> None:
    """Make the previous champion the champion again, and note at the other one that it is not.

    The alias is last: who starts a rollback again that was stopped does not go back twice.
    """
    name, number = champion.name, str(champion.version)
    tags = {
        "rolled_back_at": _now(),
        "rolled_back_to": str(previous.version),
        "rollback_reason": reason[:_LONGEST_REASON],
    }
    for key, value in tags.items():
        if value:
            client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHAMPION, str(previous.version))


def _has(client: "MlflowClient", name: str, alias: str, number: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(name, alias).version) == number
    except MlflowException:
        return False


def _now() -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
