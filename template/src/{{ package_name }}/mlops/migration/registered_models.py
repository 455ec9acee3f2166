"""A registered model: its versions in their order, and its aliases."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ..backend.artifacts import knows_models
from ..backend.client import is_transient
from ..registry.environments import FROM_VERSION, version_key
from ..registry.versions import make_registered_model, versions_of
from .endpoints import Migration, registered_name
from .files import rename

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

# What version 1.0 of the template called FROM_VERSION.
_FROM_VERSION_BEFORE = "kedro.moved_from_version"

_MODEL_ID = re.compile(r"\bm-[0-9a-f]{32}\b")


def copy_registered_model(migration: Migration, registered: "RegisteredModel") -> None:
    """Copy a registered model; the runs and logged models of its versions are at the target.

    Versions keep their numbers where there are no other versions under the name; else they get the
    next ones. An alias that the target has already stays where it is: a migration does not change
    what others serve.
    """
    name = registered_name(registered.name, migration.config.model)
    about = {"tags": registered.tags, "description": registered.description}
    make_registered_model(migration.target.client, name, **about)
    there = _versions_there(migration, name)
    keeps_numbers = None not in there
    numbers = {}
    for version in versions_of(migration.source.client, registered.name):
        key, number = version_key(version), int(version.version) if keeps_numbers else 0
        found = there.get(key)
        if found is None or int(found.version) < number:
            there[key] = _create(migration, version, name, found, number)
        numbers[str(version.version)] = str(there[key].version)
    _copy_aliases(migration, registered, name, numbers)


def _versions_there(migration: Migration, name: str) -> "dict[str | None, ModelVersion]":
    """Read what earlier migrations have copied, by version_key; None is for all other versions.

    One that was stopped may have left a version with too low a number, beside the one that was to
    replace it.
    """
    there: dict[str | None, ModelVersion] = {}
    for version in versions_of(migration.target.client, name):
        key = version_key_of(version)
        if key is not None and key in there:
            migration.target.client.delete_model_version(name, there[key].version)
        there[key] = version
    return there


def version_key_of(version: "ModelVersion") -> str | None:
    """Read which version of the source one of the target is; none if it was created there."""
    key: str | None = version.tags.get(FROM_VERSION) or version.tags.get(_FROM_VERSION_BEFORE)
    return key


def _create(
    migration: Migration,
    version: "ModelVersion",
    name: str,
    found: "ModelVersion | None",
    number: int,
) -> "ModelVersion":
    """Create a version, and again as long as its number is too low: versions before were deleted.

    Args:
        migration: the migration.
        version: the source's.
        name: the registered model's, at the target.
        found: its copy by an earlier migration that was stopped, with too low a number.
        number: what it must reach; 0 if any will do.
    """
    client = migration.target.client
    tags = {**version.tags, FROM_VERSION: version_key(version)}
    while True:
        created = create_version(migration, version, name, tags)
        if found:
            client.delete_model_version(name, found.version)
            if int(created.version) <= int(found.version):  # This registry reuses numbers.
                break
        if int(created.version) >= number:
            break
        found = created
    migration.tell(f"Copied {name} version {version.version} as version {created.version}.")
    return created


def create_version(
    migration: Migration, version: "ModelVersion", name: str, tags: Mapping[str, str]
) -> "ModelVersion":
    """Create a copy of a version; its run and its logged model are at the target."""
    from mlflow.exceptions import MlflowException

    client = migration.target.client
    run_id = migration.ids.runs.get(version.run_id or "")
    model_id = migration.ids.models.get(model_id_of(version) or "")
    source = _source(migration, version, model_id, run_id)
    if not knows_models(migration.target.place):
        model_id = None
    create = partial(
        client.create_model_version,
        name,
        source,
        run_id,
        description=version.description,
        model_id=model_id,
    )
    try:
        return create(tags=dict(tags))
    except MlflowException as error:
        if is_transient(error) or len(tags) == 1:
            raise
        # Some registries refuse some tags, and with them all: the comparison says which.
        created = create(tags={FROM_VERSION: tags[FROM_VERSION]})
        for key, value in tags.items():
            with suppress(MlflowException):
                client.set_model_version_tag(name, str(created.version), key, value)
        return created


def model_id_of(version: "ModelVersion") -> str | None:
    """Find the logged model that a version of the source is of; none if it is of a run's files.

    A registry in a database does not keep its id, but its files' location has it.
    """
    found = _MODEL_ID.search(version.source or "")
    return version.model_id or (found[0] if found else None)


def _source(
    migration: Migration, version: "ModelVersion", model_id: str | None, run_id: str | None
) -> str:
    """Return where a version's files are at the target."""
    if model_id:
        if knows_models(migration.target.place):
            return f"models:/{model_id}"
        return str(migration.target.client.get_logged_model(model_id).artifact_location)
    source = str(version.source)
    if run_id is None:
        return source
    before = str(migration.source.client.get_run(str(version.run_id)).info.artifact_uri)
    after = str(migration.target.client.get_run(run_id).info.artifact_uri)
    return rename(source, {before: after, str(version.run_id): run_id})


def _copy_aliases(
    migration: Migration, registered: "RegisteredModel", name: str, numbers: dict[str, str]
) -> None:
    client = migration.target.client
    there = client.get_registered_model(name).aliases
    for alias, number in registered.aliases.items():
        copied = numbers[str(number)]
        if alias not in there:
            client.set_registered_model_alias(name, alias, copied)
        elif str(there[alias]) != copied:
            migration.tell(
                f"{name} has the alias {alias} already, on version {there[alias]}: it stays there. "
                f"Here it was on version {number}, which is version {copied} there."
            )
