"""Versions of the registered model: found, downloaded, registered, and their aliases."""

import json
import logging
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..backend import artifacts
from ..backend.client import connect, if_exists, is_missing, pages, reason_of
from ..backend.databases import UnreachableError
from ..config import KedroMlflowConfig, ServerOptions
from ..errors import TrackingError
from ..mlflow_internals import registry_asks
from ..model.batch import VERSION_TAG, WORKING_COPY, use_version, use_working_copy
from ..model.card import description_of
from ..project import is_database, is_server, registered_pipelines
from ..redaction import mask
from ..tracking import RunListener, RunStart, Shipment
from ..tracking.capture.tags import user_name
from ..tracking.journal import Record
from ..tracking.shipping.lineage import VERSIONS_TAG
from ..tracking.shipping.parts import BEGUN_TAG
from ..tracking.start import run_to_join
from .columns import RequiredColumns, columns_of
from .digest import DIGEST_TAG, digest_of, require_registered
from .rules import unknown_names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
# Tags of versions. Unity Catalog takes no dots in their names, and no long values.
PROMOTED_FROM, REASON, VERDICT = "promoted_from", "promotion_reason", "promotion_verdict"
_MAX_REASON = 250
_MISSING = {
    CHAMPION: "is the champion yet: train one with `kedro run`.",
    CHALLENGER: "is the challenger: train one with `kedro run`, or give a version's number.",
}


def find_version(name: str, server: ServerOptions, version: str | None = None) -> "ModelVersion":
    """Ask the registry for a version by its number or an alias; a TrackingError if it has none."""
    from mlflow.exceptions import MlflowException

    wanted = version or CHAMPION
    is_number = wanted.isdecimal()
    try:
        client = connect(server)
        ask = client.get_model_version if is_number else client.get_model_version_by_alias
        return ask(name, wanted)
    except (MlflowException, UnreachableError) as error:
        if not is_missing(error):
            problem = (
                f"MLflow at {mask('', server.registry_uri)} could not be asked for the "
                f"{'version' if is_number else 'alias'} {wanted} of '{name}': {reason_of(error)}."
            )
        elif is_number:
            problem = (
                f"The model '{name}' has no version {wanted}: `kedro mlflow ui` lists its versions."
            )
        else:
            otherwise = f"has the alias '{wanted}': give a version's number."
            problem = f"No version of the model '{name}' {_MISSING.get(wanted, otherwise)}"
        raise TrackingError(problem) from error


def versions_of(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """List the versions of a registered model, the oldest first."""
    quote = '"' if "'" in name else "'"
    found = [
        # Unity Catalog's search leaves the tags out.
        each if isinstance(each.tags, dict) else client.get_model_version(name, each.version)
        for each in pages(client.search_model_versions, f"name = {quote}{name}{quote}")
    ]
    return sorted(found, key=lambda version: int(version.version))


def download(version: "ModelVersion", server: ServerOptions, file: str = "") -> Path:
    """Fetch a version's files, or one, if not on this machine.

    A TrackingError says that they cannot be had, or are not those that were registered.
    """
    from mlflow.exceptions import MlflowException

    try:
        path = artifacts.download(f"models:/{version.name}/{version.version}", server, file)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"The files of the model '{version.name}', version {version.version}, cannot be read "
            f"({error}). Was the project moved? Move it back, or train again and make that version "
            "the champion."
        ) from error
    if not file:
        require_registered(version, path)
    return path


def called(version: "ModelVersion") -> str:
    """Return what to call a version at the start of a sentence."""
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    return f"Version {version.version} of {version.name}{aliases}"


def run_of(client: "MlflowClient", version: "ModelVersion") -> "Run":
    """Return the run that a version is judged by; a TrackingError if it has none."""
    if version.run_id and (run := if_exists(client.get_run, version.run_id)):
        return run
    raise TrackingError(
        f"{called(version)} has no run whose metrics could be judged: train one with `kedro run`."
    )


def champion_of(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the champion, if there is the registered model and it has one."""
    # For the alias of a model that is not there, a server with users denies the permission.
    registered = if_exists(client.get_registered_model, name)
    number = registered.aliases.get(CHAMPION) if registered else None
    return client.get_model_version(name, str(number)) if number else None


def promote_alias(
    client: "MlflowClient",
    version: "ModelVersion",
    previous: "ModelVersion | None",
    result: str,
    reason: str,
) -> None:
    """Make a version the champion; its tags, which are set before, are the way back."""
    tags = {"promoted_at": _now(), "promoted_by": user_name(), REASON: reason[:_MAX_REASON]}
    tags[VERDICT] = result
    tags[PROMOTED_FROM] = str(previous.version) if previous else ""
    _set_champion(client, version, version, tags)


def clear_challenger(client: "MlflowClient", champion: "ModelVersion") -> None:
    """Take the challenger's alias from a version that has become the champion."""
    aliases = client.get_registered_model(champion.name).aliases
    if str(aliases.get(CHALLENGER)) == str(champion.version):
        client.delete_registered_model_alias(champion.name, CHALLENGER)


def previous_of(champion: "ModelVersion") -> str:
    """Return the number of the champion before; a TrackingError if there was none."""
    if previous := champion.tags.get(PROMOTED_FROM):
        return str(previous)
    raise TrackingError(
        f"Version {champion.version} of {champion.name} was not promoted over another one: "
        "there is no way back. `--version N --force --reason` makes any version the champion."
    )


def restore_alias(
    client: "MlflowClient", champion: "ModelVersion", previous: "ModelVersion", reason: str
) -> None:
    """Make the previous champion the champion again, and note it on the other version."""
    tags = {
        "rolled_back_at": _now(),
        "rolled_back_to": str(previous.version),
        "rollback_reason": reason[:_MAX_REASON],
    }
    _set_champion(client, previous, champion, tags)


def _set_champion(
    client: "MlflowClient", new: "ModelVersion", tagged: "ModelVersion", tags: Mapping[str, str]
) -> None:
    # The alias changes last: a rollback that was killed before it does not go back twice.
    for key, value in tags.items():
        if value:
            client.set_model_version_tag(tagged.name, str(tagged.version), key, value)
    client.set_registered_model_alias(new.name, CHAMPION, str(new.version))


def _now() -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())


class Registration(RunListener):
    """Registers the models that a run ships, and lets batch scoring use a registered version."""

    def __init__(self, config: KedroMlflowConfig) -> None:
        self._config = config
        # Registered models that are known to exist, by tracking URI.
        self._known: set[tuple[str, str]] = set()

    def run_starts(self, start: RunStart) -> None:
        """Let a run of the model's own pipeline score with a registered version."""
        if start.registers and start.is_tracked:
            for problem in unknown_names(self._config.promotion, registered_pipelines()):
                logger.warning("%s Promotion cannot judge the version of this run.", problem)
        if start.registers and _reads_no_files(self._config):
            logger.warning(
                "The registry at %s reads no files of this machine, where this run keeps its "
                "model: it will refuse the version. Track on that server as well "
                "(server.mlflow_tracking_uri), or keep the files in a store that it reads "
                "(tracking.experiment.create_experiment_kwargs.artifact_location).",
                mask("", self._config.server.registry_uri),
            )
        options, server = self._config.model, self._config.server
        if options is None or list(start.names) != [options.pipeline]:
            return
        wanted = (start.run_params.get("runtime_params") or {}).get("model_version")
        if wanted is None and start.mark is None:
            wanted = _version_of_tasks(self._config)
        if wanted == WORKING_COPY:
            start.about.append("working copy")
            start.tags |= use_working_copy(options, start.catalog)
            return
        version = find_version(options.name, server, None if wanted is None else str(wanted))
        start.about.append(f"version {version.version}")
        folder, patterns = download(version, server), self._config.redaction.patterns
        required = RequiredColumns(options.input, called(version), columns_of(folder))
        start.scored_by = folder
        start.tags |= use_version(options, version, folder, start, patterns, required)

    def shipping_starts(self, client: "MlflowClient", started: Record) -> None:
        """Ask for the registered model now, so that the run's end need not wait for the answer."""
        if name := started.data.get("registers"):
            with suppress(Exception):  # Registering reports what is wrong.
                client.get_registered_model(name)
                self._known.add((client.tracking_uri, name))

    def model_shipped(self, shipment: Shipment, model: "LoggedModel", record: Record) -> None:
        """Register a logged model, if mlflow.yml gives it a name."""
        if name := record.data["register"]:
            alias = self._config.model.alias if self._config.model else CHALLENGER
            if (shipment.client.tracking_uri, name) not in self._known:
                make_registered_model(shipment.client, name)
            _register(shipment, model, name, Path(record.data["path"]), alias)


def _version_of_tasks(config: KedroMlflowConfig) -> str | None:
    """Return the version that all tasks of a run score with: the champion of when it was begun."""
    config, run_id = run_to_join(config)
    run = if_exists(connect(config.server).get_run, run_id) if run_id else None
    return run.data.tags.get(VERSION_TAG) if run and BEGUN_TAG in run.data.tags else None


def _reads_no_files(config: KedroMlflowConfig) -> bool:
    """Return whether the registry is a server that refuses versions with files of a machine."""
    location = config.tracking.experiment.create_experiment_kwargs.artifact_location or ""
    is_here = urlsplit(location).scheme in ("", "file")
    return is_here and is_database(config.server.uri) and is_server(config.server.registry_uri)


def make_registered_model(client: "MlflowClient", name: str, **about: Any) -> None:
    """Create a registered model, with tags and a description if given, unless it exists."""
    try:
        client.create_registered_model(name, **about)
    except Exception:
        # To those who may not create one Unity Catalog denies it, also where it is there.
        if if_exists(client.get_registered_model, name) is None:
            raise


def _register(
    shipment: Shipment, model: "LoggedModel", name: str, folder: Path, alias: str
) -> None:
    """Create a version of a logged model, once: the first is champion, a later one challenger.

    One that gets another alias is not the champion before it is promoted, even if it is the first.
    """
    client, delivery, run_id, server = shipment
    if delivery.versions.get(model.model_id):
        return
    in_database = is_database(server.registry_uri)
    on_one_server = artifacts.knows_models(server)
    on_another = is_server(server.registry_uri) and not on_one_server
    sources = [model.artifact_location]
    # Another server's registry does not know the model, and a managed one copies its files.
    if in_database or on_one_server:
        sources.insert(0, f"models:/{model.model_id}")
    version = None
    if model.model_id in delivery.versions or delivery.resumed:
        # The version may exist without its number having reached us. Unity Catalog takes one
        # condition.
        existing = client.search_model_versions(f"run_id = '{run_id}'")
        own = [each for each in existing if each.name == name and each.source in sources]
        version = own[0] if own else None
    delivery.versions[model.model_id] = []
    delivery.save()
    if version is None:
        model_id = None if on_another else model.model_id
        with registry_asks(client) if in_database else nullcontext():
            version = client.create_model_version(
                *(name, sources[0], run_id, {DIGEST_TAG: digest_of(folder)}),
                description=description_of(folder),
                model_id=model_id,
            )
    number = str(version.version)
    if not on_one_server:  # That does so itself.
        link = json.dumps([{"name": name, "version": version.version}])
        client.set_logged_model_tags(model.model_id, {VERSIONS_TAG: link})
    champion = client.get_registered_model(name).aliases.get(CHAMPION, number)
    if str(champion) == number and alias == CHALLENGER:
        alias = CHAMPION
    client.set_registered_model_alias(name, alias, number)
    delivery.versions[model.model_id] = [name, number, alias]
    delivery.save()
