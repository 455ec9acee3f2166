"""A registered model goes to another registry: its versions in their order, and its aliases."""

import re
from functools import partial
from typing import TYPE_CHECKING

from ..backend.client import is_transient
from ..registry.versions import make_registered_model
from .files import rename
from .pages import pages
from .places import FROM_VERSION, Place, registered_name

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from .move import Move

# What version 1.0 of the template called FROM_VERSION.
_FROM_VERSION_BEFORE = "kedro.moved_from_version"


_MODEL_ID = re.compile(r"\bm-[0-9a-f]{32}\b")


def move_registered_model(move: "Move", registered: "RegisteredModel") -> None:
    """Bring a registered model to the target.

    Versions keep their numbers where nobody else has registered any under the name; else they get
    the next ones. An alias that the target has already stays where it is: what others serve does
    not change because somebody moves house.
    """
    name = registered_name(registered.name, move.config.model)
    make_registered_model(move.target.client, name, registered.tags, registered.description)
    there = _versions_there(move, name)
    numbers_kept = None not in there
    for version in versions(move.source, registered.name):
        found = there.get(version_key(version))
        number = int(version.version) if numbers_kept else 0
        if found is None or int(found.version) < number:
            there[version_key(version)] = _create(move, version, name, found, number)
    numbers = {
        str(version.version): str(there[version_key(version)].version)
        for version in versions(move.source, registered.name)
    }
    _move_aliases(move, registered, name, numbers)


def _versions_there(move: "Move", name: str) -> "dict[str | None, ModelVersion]":
    """Read what earlier moves have brought, by version_key; none is for all that others have made.

    One that was stopped may have left a version with too low a number, beside that which it had
    made to replace it.
    """
    there: dict[str | None, ModelVersion] = {}
    for version in versions(move.target, name):
        key = version_key_of(version)
        if key is not None and key in there:
            move.target.client.delete_model_version(name, there[key].version)
        there[key] = version
    return there


def versions(place: Place, name: str) -> "list[ModelVersion]":
    """List the versions of a registered model, the oldest first."""
    found = [
        # Unity Catalog's search leaves the tags out.
        each if isinstance(each.tags, dict) else place.client.get_model_version(name, each.version)
        for each in pages(place.client.search_model_versions, f"name = '{name}'")
    ]
    return sorted(found, key=lambda version: int(version.version))


def version_key(version: "ModelVersion") -> str:
    """Tell a version of the source from all others, those of other people's laptops included."""
    made = version.model_id or version.run_id or version.creation_timestamp
    return f"{made}/{version.version}"


def version_key_of(version: "ModelVersion") -> str | None:
    """Read which version of the source one of the target is; none if it was made there."""
    key: str | None = version.tags.get(FROM_VERSION) or version.tags.get(_FROM_VERSION_BEFORE)
    return key


def _create(
    move: "Move", version: "ModelVersion", name: str, found: "ModelVersion | None", number: int
) -> "ModelVersion":
    """Create a version, and again as long as its number is too low: versions before were deleted.

    Args:
        move: the move.
        version: the source's.
        name: the registered model's, at the target.
        found: what an earlier move that was stopped has made of it, with too low a number.
        number: what it must reach; 0 if any will do.
    """
    from mlflow.exceptions import MlflowException

    client = move.target.client
    run_id = move.run(version.run_id) if version.run_id else None
    model_id = _model_of(move, version)
    source = _source(move, version, model_id, run_id)
    if not move.target.is_server:
        model_id = None  # It would be looked up at the process's own tracking URI.
    own_tags = {FROM_VERSION: version_key(version)}
    create = partial(
        client.create_model_version,
        name,
        source,
        run_id,
        description=version.description,
        model_id=model_id,
    )
    while True:
        try:
            made = create(tags={**version.tags, **own_tags})
        except MlflowException as error:
            if is_transient(error) or not version.tags:
                raise
            made = create(tags=own_tags)  # Not every registry takes all names; the check tells.
        if found:
            client.delete_model_version(name, found.version)
            if int(made.version) <= int(found.version):  # This registry uses numbers again.
                break
        if int(made.version) >= number:
            break
        found = made
    move.tell(f"{name} version {version.version} is there, as version {made.version}.")
    return made


def _model_of(move: "Move", version: "ModelVersion") -> str | None:
    """Find the logged model at the target that a version is of; none if it is of a run's files.

    A registry in a database does not keep its id, but knows the place of its files.
    """
    if version.model_id:
        return move.model(version.model_id)
    found = _MODEL_ID.search(version.source or "")
    return move.model(found[0]) if found else None


def _source(move: "Move", version: "ModelVersion", model_id: str | None, run_id: str | None) -> str:
    """Tell where a version's files are at the target."""
    if model_id and move.target.is_server:
        return f"models:/{model_id}"
    if model_id:  # A registry in a database would look up models:/… at the process's own URI.
        return str(move.target.client.get_logged_model(model_id).artifact_location)
    source = str(version.source)
    if run_id is None:
        return source
    before = str(move.source.client.get_run(str(version.run_id)).info.artifact_uri)
    after = str(move.target.client.get_run(run_id).info.artifact_uri)
    return rename(source, {before: after, str(version.run_id): run_id})


def _move_aliases(
    move: "Move", registered: "RegisteredModel", name: str, numbers: dict[str, str]
) -> None:
    client = move.target.client
    there = client.get_registered_model(name).aliases
    for alias, number in registered.aliases.items():
        moved = numbers[str(number)]
        if alias not in there:
            client.set_registered_model_alias(name, alias, moved)
        elif str(there[alias]) != moved:
            move.tell(
                f"{name} has the alias {alias} already, on version {there[alias]}: it stays there. "
                f"Here it was on version {number}, which is version {moved} there."
            )
