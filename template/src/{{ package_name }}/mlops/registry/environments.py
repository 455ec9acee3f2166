"""A version in another Kedro environment: copied there, then judged by the rules of that one.

Within one server MLflow itself copies the version; between two, `migration/` copies its run and its
model before it. From its first moment the copy says what it is of: it is found again, not copied.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, TypeAlias

from ..backend.access import Environment
from ..backend.client import connect, if_exists
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..mlflow_internals import registry_asks
from ..project import State, is_database
from ..redaction import mask
from .comparison import Elsewhere
from .promote import TRAINING, Outcome, Promotion
from .versions import CHALLENGER, champion_of, download, find_version, run_of, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

# Copies a version with its run and model to another server, under a name and with these tags.
CopyBetween: TypeAlias = Callable[
    [Environment, Environment, "ModelVersion", str, Mapping[str, str]], "ModelVersion"
]

# Tag of a version: which one of the source it is. Unity Catalog takes no dots in names of tags.
FROM_VERSION = "moved_from_version"
# How those begin that are about the environment that a version comes from.
_LOCAL_TAGS = (FROM_VERSION, "promoted_", "promotion_", "rolled_back_", "rollback_", "deployed_")
_COMMIT = "mlflow.source.git.commit"
_MAX_VALUE, _SECONDS_TO_WAIT = 250, 120.0


@dataclass(frozen=True)
class PromotionTo:
    """Promotes versions of one Kedro environment into another one."""

    source: Environment
    target: Environment
    state: State
    copy_between: CopyBetween

    def promote(
        self,
        wanted: str | None = None,
        force: str | None = None,
        dry_run: bool = False,
        new: str | None = None,
    ) -> Outcome:
        """Copy a version, the champion if none is named, and promote it there if the rules allow.

        If they do not, it is the challenger there. Arguments and errors are those of a promotion.
        """
        name, server = _name(self.target.config), self.source.config.server
        self._refuse_one_model(server.registry_uri == self.target.config.server.registry_uri)
        with self.state.one_at_a_time("environments", "copying a version", _SECONDS_TO_WAIT):
            with self.source.admitted():
                version = find_version(_name(self.source.config), server, wanted)
                run = run_of(connect(server), version)
            with self.target.admitted():
                client = connect(self.target.config.server)
                on_one_server = self._is_one_server(client, run)
                self._refuse_one_model(on_one_server)
                copied = _find_copy(client, name, version)
            tags = self._tags(version, run, on_one_server)
            promotion = Promotion(self.target.config, self.state)
            if copied is None and dry_run:
                with self.source.admitted():
                    elsewhere = Elsewhere(version, run, download(version, server))
                with self.target.admitted():
                    return promotion.promote(None, force, True, new, elsewhere)
            if copied is None and not on_one_server:
                copied = self.copy_between(self.source, self.target, version, name, tags)
            with self.target.admitted():
                if copied is None:
                    copied = self._copy_within(client, version, name)
                number = str(copied.version)
                if not dry_run:
                    champion = champion_of(client, name)
                    if champion is None or str(champion.version) != number:
                        _complete(client, copied, tags)
                        client.set_registered_model_alias(name, CHALLENGER, number)
                return promotion.promote(number, force, dry_run, new)

    def _is_one_server(self, client: "MlflowClient", run: "Run") -> bool:
        """Return whether both are one server: by another address it has the run too."""
        here, there = self.source.config.server, self.target.config.server
        if here.uri == here.registry_uri and there.uri == there.registry_uri != here.uri:
            with suppress(Exception):  # A server with users denies what it does not have.
                return bool(client.get_run(run.info.run_id))
        return (here.uri, here.registry_uri) == (there.uri, there.registry_uri)

    def _refuse_one_model(self, in_one_registry: bool) -> None:
        source, target = self.source.config, self.target.config
        if in_one_registry and _name(target) == _name(source):
            raise TrackingError(
                f"The Kedro environments '{source.environment}' and '{target.environment}' have "
                f"the same registered model, {_name(target)} at "
                f"{mask('', target.server.registry_uri)}: give one of them its own model.name, or "
                f"its own server, in conf/{target.environment}/mlflow.yml."
            )

    def _tags(self, version: "ModelVersion", run: "Run", on_one_server: bool) -> dict[str, str]:
        """Return the tags of the copy; those of where it was trained stay through environments."""
        training = {
            "server": mask("", self.source.config.server.uri),
            "version": f"{version.name}/{version.version}",
            "run": run.info.run_id,
            "commit": run.data.tags.get(_COMMIT),
        }
        tags = {f"{TRAINING}{key}": value[:_MAX_VALUE] for key, value in training.items() if value}
        kept = {k: v for k, v in version.tags.items() if not k.startswith(_LOCAL_TAGS)}
        key = version_key(version)
        # MLflow's own copy has the source's tags: this one must not be among them.
        return tags | kept | {FROM_VERSION: f"{version.name}/{key}" if on_one_server else key}

    def _copy_within(
        self, client: "MlflowClient", version: "ModelVersion", name: str
    ) -> "ModelVersion":
        asking = is_database(self.target.config.server.registry_uri)
        with redirect_stderr(StringIO()), registry_asks(client) if asking else nullcontext():
            return client.copy_model_version(f"models:/{version.name}/{version.version}", name)


def version_key(version: "ModelVersion") -> str:
    """Name a version of the source like no other, also of another person's laptop."""
    origin = version.model_id or version.run_id or version.creation_timestamp
    return f"{origin}/{version.version}"


def _find_copy(client: "MlflowClient", name: str, version: "ModelVersion") -> "ModelVersion | None":
    """Find the copy of a version that an earlier promotion has made, completely or not."""
    if if_exists(client.get_registered_model, name) is None:
        return None
    # Another server's version has the same name and number, and another run.
    key, source = version_key(version), f"models:/{version.name}/{version.version}"
    for each in versions_of(client, name):
        known = each.tags.get(FROM_VERSION) in (key, f"{version.name}/{key}")
        if known or (each.source, each.run_id) == (source, version.run_id):
            return each
    return None


def _complete(client: "MlflowClient", copied: "ModelVersion", tags: Mapping[str, str]) -> None:
    """Give a copy its own tags instead of those that MLflow has copied; the last says that it has.

    What was copied of a promotion elsewhere would be the way back to a version of that place.
    """
    if copied.tags.get(FROM_VERSION) == tags[FROM_VERSION]:
        return
    name, number = copied.name, str(copied.version)
    for key in copied.tags.keys() - tags.keys():
        client.delete_model_version_tag(name, number, key)
    for key, value in tags.items():
        if copied.tags.get(key) != value:
            client.set_model_version_tag(name, number, key, value)


def _name(config: KedroMlflowConfig) -> str:
    if config.model is None:
        raise TrackingError(
            "mlflow.yml names no registered model in the Kedro environment "
            f"'{config.environment}': set model.name."
        )
    return config.model.name
