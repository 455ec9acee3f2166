"""Versions of the registered model: registered, found, downloaded, and their aliases."""

from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING

from ..backend.client import UnreachableError, connect, is_missing, reason_of
from ..config import KedroMlflowConfig, ServerOptions
from ..errors import TrackingError
from ..model.batch import use_version
from ..model.card import description_of
from ..redaction import mask
from ..tracking.journal import Record
from ..tracking.listeners import RunListener, RunStart, Shipment
from ..tracking.shipping.sink import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
# Unity Catalog takes no dots in the names of tags, and no long values.
PROMOTED_FROM, REASON = "promoted_from", "promotion_reason"
_LONGEST_REASON = 250


class Registration(RunListener):
    """Registers the models that a run ships, and lets batch scoring use a registered version."""

    def __init__(self, config: KedroMlflowConfig) -> None:
        self._config = config
        # Registered models that are known to exist, by tracking URI.
        self._known: set[tuple[str, str]] = set()

    def run_starts(self, start: RunStart) -> None:
        """Let a run of the model's own pipeline score with a registered version.

        Raises:
            TrackingError: there is no such version, or no champion yet.
        """
        options, server = self._config.model, self._config.server
        if options is None or list(start.names) != [options.pipeline]:
            return
        wanted = (start.run_params.get("runtime_params") or {}).get("model_version")
        version = find_version(options.name, server, None if wanted is None else str(wanted))
        folder = download(version, server)
        start.tags |= use_version(options, version, folder, start.catalog)

    def shipping_starts(self, client: "MlflowClient", started: Record) -> None:
        """Ask for the registered model now, so that the run's end need not wait for the answer."""
        name = started.data.get("registers")
        if name and is_registered(client, name):
            self._known.add((client.tracking_uri, name))

    def model_shipped(self, shipment: Shipment, model: "LoggedModel", record: Record) -> None:
        """Register a logged model, if mlflow.yml gives it a name."""
        name = record.data["register"]
        if not name:
            return
        # A registry in a database would look up models:/… at the process's own URI.
        source = f"models:/{model.model_id}" if shipment.is_server else ""
        if (shipment.client.tracking_uri, name) not in self._known:
            make_registered_model(shipment.client, name)
        card = description_of(Path(record.data["path"]))
        client, delivery, run_id, _ = shipment
        register(client, delivery, run_id, model, name, source, card)


def champion_of(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Ask who is the champion; none if nobody is."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def promote_alias(
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


def restore_alias(
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


def find_version(name: str, server: ServerOptions, version: str | None = None) -> "ModelVersion":
    """Ask the registry for a version of the registered model.

    Args:
        name: the model's.
        server: where it is registered.
        version: a version's number, or an alias; the champion when none is given.

    Raises:
        TrackingError: there is none, or the registry does not say.
    """
    from mlflow.exceptions import MlflowException

    wanted = version or CHAMPION
    try:
        client = connect(server)
        if wanted.isdecimal():
            return client.get_model_version(name, wanted)
        return client.get_model_version_by_alias(name, wanted)
    except MlflowException as error:
        if is_missing(error):
            raise TrackingError(_missing(name, wanted)) from error
        raise TrackingError(_unanswered(name, wanted, server, error)) from error
    except UnreachableError as error:
        raise TrackingError(_unanswered(name, wanted, server, error)) from error


def _missing(name: str, wanted: str) -> str:
    if wanted.isdecimal():
        return (
            f"The model '{name}' has no version {wanted}: `kedro mlflow ui` shows those that it "
            "has."
        )
    if wanted == CHAMPION:
        return (
            f"No version of the model '{name}' is the {CHAMPION} yet: train one with `kedro run`."
        )
    if wanted == CHALLENGER:
        return (
            f"No version of the model '{name}' is the {CHALLENGER}: train one with `kedro run`, or "
            "name another version by its number."
        )
    return f"No version of the model '{name}' has the alias '{wanted}': give a version's number."


def _unanswered(name: str, wanted: str, server: ServerOptions, error: Exception) -> str:
    place = mask("", server.registry_uri)
    what = (
        f"whether '{name}' has a version {wanted}"
        if wanted.isdecimal()
        else (f"which version of '{name}' is the {wanted}")
    )
    return f"MLflow at {place} does not say {what}: {reason_of(error)}."


def download(version: "ModelVersion", server: ServerOptions) -> Path:
    """Fetch a version's files; where they lie on this machine already, nothing is copied.

    Raises:
        TrackingError: they are not where the registry says.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(
            download_artifacts(
                f"models:/{version.name}/{version.version}",
                tracking_uri=server.mlflow_tracking_uri,
                registry_uri=server.mlflow_registry_uri,
            )
        )
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"The files of the model '{version.name}', version {version.version}, cannot be read "
            f"({error}). Was the project moved? Move it back, or train anew and make that version "
            f"the {CHAMPION}."
        ) from error


def is_registered(client: "MlflowClient", name: str) -> bool:
    """Tell whether a registered model is known to be there; what is wrong is told on its use."""
    try:
        client.get_registered_model(name)
    except Exception:
        return False
    return True


def make_registered_model(client: "MlflowClient", name: str) -> None:
    """Make a registered model, unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def register(
    client: "MlflowClient",
    delivery: Delivery,
    run_id: str,
    model: "LoggedModel",
    name: str,
    source: str,
    description: str | None = None,
) -> None:
    """Make a version of a logged model: the first is champion, a later one challenger.

    Args:
        client: the tracking server's and the registry's.
        delivery: where the version is remembered.
        run_id: the run that has trained it.
        model: the logged model.
        name: the registered model's name; it exists.
        source: where the registry finds the files, if not at the model's own place.
        description: what the version's page says, in Markdown.
    """
    asked_before = model.model_id in delivery.versions or delivery.resumed
    if delivery.versions.get(model.model_id):
        return
    source = source or model.artifact_location
    made = []
    if asked_before:  # The version may exist without its number having reached us.
        # Unity Catalog takes one condition.
        versions = client.search_model_versions(f"run_id = '{run_id}'")
        made = [each for each in versions if (each.name, each.source) == (name, source)]
    delivery.versions[model.model_id] = []
    delivery.save()
    version = (
        made[0]
        if made
        else client.create_model_version(
            name, source, run_id, description=description, model_id=model.model_id
        )
    )
    number = str(version.version)
    aliases = client.get_registered_model(name).aliases
    alias = CHALLENGER if str(aliases.get(CHAMPION, number)) != number else CHAMPION
    client.set_registered_model_alias(name, alias, number)
    delivery.versions[model.model_id] = [name, number, alias]
    delivery.save()
