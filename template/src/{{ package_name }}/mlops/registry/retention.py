"""Retention: what is old and no longer needed, found and deleted.

Kept in any case: runs that wait to be delivered; versions with an alias, the champion before, and
those that a deployment names, with their runs' files and holdouts.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..backend.client import connect, if_exists, pages
from ..config import KedroMlflowConfig
from ..project import State
from .holdout import DIGEST_TAG
from .versions import PROMOTED_FROM, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

# On a version, once `kedro mlflow deploy` has deployed it.
DEPLOYED = "deployed_at"
# On a run whose files were deleted, and on one of which another registry has a version.
PRUNED, ELSEWHERE = "pruned", "registered_elsewhere"
# The alias that CI gives to a version for a request, whose verdict is all that it is for.
_OF_REQUEST = re.compile(r"(pull|merge)_request_\d+")
# How files of a deployment name a version.
_NAMED = re.compile(r"""(?:newTag|model_version)["']?: ["']?(\d+)""")
_DAY = 86_400


@dataclass(frozen=True)
class Old:
    """Something to delete."""

    kind: str
    name: str
    days: int
    delete: Callable[[], Any]


def find_old(config: KedroMlflowConfig, state: State, days: int) -> Iterator[Old]:
    """Find what is older than so many days and may go."""
    client, now = connect(config.server), time.time()
    found = versions_of(client, config.model.name) if config.model else []
    kept = _kept(client, config, state, found)
    ages = {str(each.version): _days(now, each.creation_timestamp / 1000) for each in found}
    goes = {number for number, age in ages.items() if age > days and number not in kept}
    runs = {str(each.run_id) for each in found if str(each.version) not in goes}
    needed = {
        run.data.tags.get(DIGEST_TAG) for each in runs if (run := if_exists(client.get_run, each))
    }
    for folder in (state.refused, state.unregistered):
        for path in sorted(folder.glob("*/run.json")):
            if (age := _days(now, path.stat().st_mtime)) > days:
                yield Old(
                    f"{folder.name} run", path.parent.name, age, partial(shutil.rmtree, path.parent)
                )
    for path in sorted(state.holdouts.glob("*.pickle")):
        if path.stem not in needed and (age := _days(now, path.stat().st_mtime)) > days:
            yield Old("holdout", path.stem, age, path.unlink)
    for each in found:
        if (number := str(each.version)) in goes:
            delete = partial(client.delete_model_version, each.name, number)
            yield Old("version", number, ages[number], delete)
    for run in _runs(client, config):
        age = _days(now, (run.info.end_time or now * 1000) / 1000)
        if age <= days or run.info.run_id in runs or {PRUNED, ELSEWHERE} & run.data.tags.keys():
            continue
        if not _is_used_elsewhere(client, config, run):
            name = f"{run.info.run_name} ({run.info.run_id})"
            yield Old("files of a run", name, age, partial(_delete_files, client, config, run))


def note_deployed(config: KedroMlflowConfig, version: "ModelVersion") -> None:
    """Note on a version that it is deployed: it is not deleted for its age."""
    client = connect(config.server)
    with suppress(Exception):  # It may be read-only, and the version is deployed all the same.
        client.set_model_version_tag(version.name, str(version.version), DEPLOYED, _now())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _kept(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    state: State,
    found: "list[ModelVersion]",
) -> set[str]:
    """Return the numbers of the versions that are in use, or the way back."""
    if not found or config.model is None:
        return set()
    aliases = client.get_registered_model(config.model.name).aliases
    aliased = {str(aliases[alias]) for alias in aliases if not _OF_REQUEST.fullmatch(alias)}
    kept = aliased | {str(each.version) for each in found if DEPLOYED in each.tags}
    kept |= {
        each.tags[PROMOTED_FROM]
        for each in found
        if str(each.version) in aliased and PROMOTED_FROM in each.tags
    }
    for pattern in ("kustomization.yaml", "*.json"):
        for path in (state.project_path / "deploy").rglob(pattern):
            with suppress(OSError):
                kept.update(_NAMED.findall(path.read_text(encoding="utf-8", errors="replace")))
    return kept


def _runs(client: "MlflowClient", config: KedroMlflowConfig) -> "Iterator[Run]":
    if experiment := client.get_experiment_by_name(config.tracking.experiment.name):
        ended = "attributes.status != 'RUNNING'"
        yield from pages(client.search_runs, [experiment.experiment_id], ended)


def _is_used_elsewhere(client: "MlflowClient", config: KedroMlflowConfig, run: "Run") -> bool:
    """Return whether another registered model has a version of this run, as by `promote --to`."""
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    return any(config.model is None or each.name != config.model.name for each in found)


def _delete_files(client: "MlflowClient", config: KedroMlflowConfig, run: "Run") -> None:
    """Delete a run's files and models; its parameters, metrics and tags stay."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    server, run_id = config.server, str(run.info.run_id)
    of_run = ([run.info.experiment_id], f"source_run_id = '{run_id}'")
    models = list(pages(client.search_logged_models, *of_run))
    places = [run.info.artifact_uri, *(model.artifact_location for model in models)]
    for place in filter(None, places):
        with suppress(FileNotFoundError):
            get_artifact_repository(place, server.uri, server.registry_uri).delete_artifacts()
    for model in models:
        client.delete_logged_model(model.model_id)
    client.set_tag(run_id, PRUNED, _now())


def _days(now: float, then: float) -> int:
    return int((now - then) // _DAY)
