"""The schema of mlflow.yml, and its content resolved into one frozen value.

Keys of kedro-mlflow 2.x keep their meaning. An unknown key is refused by name.
"""

import logging
import os
import re
from copy import deepcopy
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import TrackingError, one_line
from .project import PACKAGE, anchor, is_database

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


logger = logging.getLogger(__name__)

_DEFAULT_URI = "sqlite:///mlflow.db"


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BoundOptions(_Options):
    """Limits of a value."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "BoundOptions":
        if self.min is None and self.max is None:
            raise ValueError("give it min, max or both")
        return self


class ImprovementOptions(_Options):
    """How a metric must compare with the champion's."""

    better: Literal["lower", "higher"]
    tolerance: float = 0.0


class PromotionOptions(_Options):
    """When a version may become the champion; without rules, always.

    Attributes:
        auto: whether each run that registers a version also promotes it.
        evaluation: the data set of metrics that the rules refer to; one node returns it.
        holdout: the rows on which this node evaluates.
        predictions: the model's predictions for them; the node reads both.
        thresholds: bounds by metric.
        slices: bounds of the ratio of each group's value to the overall one, by metric.
        improvement: comparisons with the champion, by metric.
    """

    auto: bool = False
    evaluation: str = "evaluation"
    holdout: str | None = None
    predictions: str | None = None
    thresholds: dict[str, BoundOptions] = {}
    slices: dict[str, BoundOptions] = {}
    improvement: dict[str, ImprovementOptions] = {}

    @model_validator(mode="after")
    def _can_be_compared(self) -> "PromotionOptions":
        if self.improvement and not (self.holdout and self.predictions):
            raise ValueError("improvement compares on the same rows: give holdout and predictions")
        return self


def _endpoint(pattern: str, characters: str) -> Any:
    """Make the type of an endpoint's name."""

    def check(name: str) -> str:
        if not re.fullmatch(pattern, name, re.ASCII):
            raise ValueError(
                f"'{name}' is no name for an endpoint, which has up to 63 characters: {characters}"
            )
        return name

    return AfterValidator(check)


_SAGEMAKER_NAME = _endpoint(
    r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "letters, digits and, inside, hyphens"
)
_DATABRICKS_NAME = _endpoint(r"[\w-]{1,63}", "letters, digits, hyphens and underscores")


class DockerOptions(_Options):
    """A container on this machine."""

    target: Literal["docker"]
    model: Literal["baked", "champion"] = "baked"
    image: str
    port: int = 8080


class KubernetesOptions(_Options):
    """KServe on Kubernetes."""

    target: Literal["kubernetes"]
    image: str | None = None
    overlay: str = "staging"
    canary_percent: int | None = Field(default=None, ge=0, le=100)


class SageMakerOptions(_Options):
    """An endpoint of SageMaker."""

    target: Literal["sagemaker"]
    endpoint: Annotated[str, _SAGEMAKER_NAME]
    region: str | None = None
    role: str | None = None
    image: str | None = None
    bucket: str | None = None
    instance_type: str = "ml.m5.large"
    instance_count: int = Field(default=1, ge=1)
    vpc: dict[str, list[str]] | None = None
    environment: dict[str, str] = {}
    timeout: float = Field(default=1200, gt=0)


class DatabricksOptions(_Options):
    """A serving endpoint of Databricks."""

    target: Literal["databricks"]
    endpoint: Annotated[str, _DATABRICKS_NAME]
    workload_type: str = "CPU"
    workload_size: str = "Small"
    scale_to_zero: bool = True
    canary_percent: int | None = Field(default=None, ge=0, le=100)
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    timeout: float = Field(default=1800, gt=0)

    @field_validator("secrets")
    @classmethod
    def _are_references(cls, secrets: dict[str, str]) -> dict[str, str]:
        for variable, secret in secrets.items():
            if not re.fullmatch(r"[\w.@-]+/[\w.@-]+", secret):
                # Not the value: it may be the secret itself.
                raise ValueError(f"{variable} must name a secret of Databricks, as SCOPE/KEY")
        return secrets


class RequestHeaderProviderOptions(_Options):
    """A class that adds headers to MLflow's requests, such as a token that expires."""

    type: str | None = None
    pass_context: bool = False
    init_kwargs: dict[str, Any] = {}


class PlaceOptions(_Options):
    """An MLflow server or database, and its registry."""

    mlflow_tracking_uri: str | None = None
    mlflow_registry_uri: str | None = None

    @property
    def uri(self) -> str:
        """The tracking URI, once the configuration is resolved."""
        return str(self.mlflow_tracking_uri)

    @property
    def registry_uri(self) -> str:
        """The registry's URI: the tracking URI, unless mlflow.yml names another."""
        return self.mlflow_registry_uri or self.uri


_Place = TypeVar("_Place", bound=PlaceOptions)


class MirrorOptions(PlaceOptions):
    """A second destination of every run: another MLflow, or a sink class of the project."""

    type: str | None = None
    init_kwargs: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "MirrorOptions":
        is_server = bool(self.mlflow_tracking_uri)
        if is_server == bool(self.type):
            raise ValueError("give it one of mlflow_tracking_uri and type")
        if foreign := self.model_fields_set & _OF_THE_OTHER[is_server]:
            raise ValueError(f"{foreign.pop()} does not go with the other keys")
        return self


# Which keys of a mirror belong to a class, and which to a tracking server.
_OF_THE_OTHER = {True: {"init_kwargs"}, False: {"mlflow_registry_uri"}}


class ServerOptions(PlaceOptions):
    """The MLflow that runs and models go to, and how to authenticate there."""

    credentials: str | None = None
    request_header_provider: RequestHeaderProviderOptions = RequestHeaderProviderOptions()


class DisableTrackingOptions(_Options):
    """What is not tracked."""

    disable_autologging: bool = True
    pipelines: list[str] = []


class CreateExperimentOptions(_Options):
    """How the experiment is created."""

    artifact_location: str | None = None
    tags: dict[str, str] | None = None


class ExperimentOptions(_Options):
    """The experiment of the runs."""

    name: str = "Default"
    create_experiment_kwargs: CreateExperimentOptions = CreateExperimentOptions()
    restore_if_deleted: bool = True


class RunOptions(_Options):
    """The run to resume, the name of new runs, and their child runs (`namespace`)."""

    id: str | None = None
    name: str | None = None
    nested: bool | Literal["namespace"] | None = None


class DictParamsOptions(_Options):
    """How a parameter that is a dictionary is logged."""

    flatten: bool = False
    recursive: bool = True
    sep: str = "."


class ParamsOptions(_Options):
    """How parameters are logged."""

    dict_params: DictParamsOptions = DictParamsOptions()
    long_params_strategy: Literal["fail", "truncate", "tag"] = "fail"


class MetricsOptions(_Options):
    """Which metrics are logged, by patterns of their names."""

    include: list[str] = ["*"]
    exclude: list[str] = []
    max_history: int = Field(default=10_000, ge=0)


class ModelsOptions(_Options):
    """Registered names of models, by patterns of data set names."""

    register_as: dict[str, str] = {}


class ArtifactsOptions(_Options):
    """Which data sets' files are logged, by patterns of their names, and up to which size."""

    datasets: list[str] = []
    max_megabytes: float = Field(default=100, ge=0)
    max_files: int = Field(default=100, ge=0)


class CaptureOptions(_Options):
    """What is captured of a run."""

    metrics: bool = True
    node_times: bool = True
    figures: bool = True
    models: bool = True
    lineage: bool = True
    timeline: bool = True


class TrackingOptions(_Options):
    """What is logged of a run."""

    disable_tracking: DisableTrackingOptions = DisableTrackingOptions()
    experiment: ExperimentOptions = ExperimentOptions()
    run: RunOptions = RunOptions()
    params: ParamsOptions = ParamsOptions()
    capture: CaptureOptions = CaptureOptions()
    metrics: MetricsOptions = MetricsOptions()
    models: ModelsOptions = ModelsOptions()
    artifacts: ArtifactsOptions = ArtifactsOptions()


class RedactionOptions(_Options):
    """Regular expressions for the names of secrets, beside the usual ones."""

    patterns: list[re.Pattern[str]] = []


class CardOptions(_Options):
    """The model card: the file with its owner's text, and a second place to write it to."""

    text: str | None = None
    file: str | None = None


class ModelOptions(_Options):
    """The registered model: its pipeline, input and card; `traced` adds the version to rows."""

    name: str
    pipeline: str = "inference"
    input: str = "instances"
    traced: bool = True
    card: CardOptions = CardOptions()


class UiOptions(_Options):
    """The address of `kedro mlflow ui`."""

    host: str = "127.0.0.1"
    port: int = 5000


class ShippingOptions(_Options):
    """How runs are delivered from the journal to MLflow."""

    on_unreachable: Literal["offline", "fail"] = "offline"
    deadline: float = Field(default=60, gt=0)


class ServingOptions(_Options):
    """Limits of requests to `kedro mlflow serve`, and how often it looks for a new champion."""

    max_megabytes: float = Field(default=10, gt=0)
    max_rows: int = Field(default=100_000, gt=0)
    poll_seconds: float = Field(default=10, gt=0)


class KedroMlflowConfig(_Options):
    """All of mlflow.yml; without the file, its defaults."""

    server: ServerOptions = ServerOptions()
    tracking: TrackingOptions = TrackingOptions()
    redaction: RedactionOptions = RedactionOptions()
    model: ModelOptions | None = None
    promotion: PromotionOptions = PromotionOptions()
    mirrors: list[MirrorOptions] = []
    shipping: ShippingOptions = ShippingOptions()
    ui: UiOptions = UiOptions()
    serving: ServingOptions = ServingOptions()
    deployment: DockerOptions | KubernetesOptions | SageMakerOptions | DatabricksOptions | None = (
        Field(default=None, discriminator="target")
    )


def read_config(context: "KedroContext", project_path: Path) -> KedroMlflowConfig:
    """Read mlflow.yml of the context's Kedro environment, and resolve it.

    Raises:
        TrackingError: a key is unknown, a value is of the wrong kind, or an environment variable is
            not set.
    """
    from kedro.config import MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    try:
        content = context.config_loader["mlflow"]
    except MissingConfigException:
        content = {}
    except OmegaConfBaseException as error:
        raise TrackingError(_unreadable(error)) from error
    return resolve(parse_config(content), project_path)


def resolve(config: KedroMlflowConfig, project_path: Path) -> KedroMlflowConfig:
    """Fill in what depends on the project: names, and addresses, which become absolute."""
    uri = config.server.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    server = config.server.model_copy(update={"mlflow_tracking_uri": uri or _DEFAULT_URI})
    server = _anchored(server, project_path)
    experiment = config.tracking.experiment
    changes: dict[str, Any] = {}
    if "name" not in experiment.model_fields_set:
        changes["name"] = PACKAGE
    if is_database(server.uri):
        # MLflow's default is a folder of the working directory.
        creation = experiment.create_experiment_kwargs
        location = anchor(creation.artifact_location or "mlartifacts", project_path)
        creation = creation.model_copy(update={"artifact_location": location})
        changes["create_experiment_kwargs"] = creation
    experiment = experiment.model_copy(update=changes)
    return config.model_copy(
        update={
            "server": server,
            "mirrors": [
                mirror if mirror.type else _anchored(mirror, project_path)
                for mirror in config.mirrors
            ],
            "tracking": config.tracking.model_copy(update={"experiment": experiment}),
        }
    )


def _anchored(place: _Place, project_path: Path) -> _Place:
    uris = {"mlflow_tracking_uri": place.uri, "mlflow_registry_uri": place.mlflow_registry_uri}
    return place.model_copy(
        update={key: uri and anchor(uri, project_path) for key, uri in uris.items()}
    )


def parse_config(content: dict[str, Any]) -> KedroMlflowConfig:
    """Check the content of mlflow.yml.

    Raises:
        TrackingError: it names each key that is unknown or holds a wrong value, a line each.
    """
    try:
        return KedroMlflowConfig.model_validate(by_new_names(content))
    except ValidationError as error:
        lines = [
            _explain(problem["type"], problem["loc"], problem["msg"]) for problem in error.errors()
        ]
        raise TrackingError("\n".join(f"mlflow.yml: {line}" for line in lines)) from error


def _explain(kind: str, location: tuple[str | int, ...], message: str) -> str:
    if kind != "extra_forbidden":
        return f"{_key(location)}: {message.removeprefix('Value error, ')}."
    valid = _keys_beside(location)
    nearest = get_close_matches(str(location[-1]), valid, n=1, cutoff=0.0)
    return (
        f"unknown key '{_key(location)}'; the nearest valid one is '{nearest[0]}' "
        f"(all: {', '.join(valid)})."
    )


def _key(location: tuple[str | int, ...]) -> str:
    """Write a location as mlflow.yml has it, where a deployment target is no level of its own."""
    if location[0] == "deployment" and len(location) > 2:
        location = (location[0], *location[2:])
    return ".".join(map(str, location))


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """List the valid keys of the mapping that holds the last key of a location."""
    kinds: list[type[BaseModel]] = [KedroMlflowConfig]
    for name in location[:-1]:
        if len(kinds) > 1:  # One kind a serving target, and this is the target's name.
            kinds = [
                kind for kind in kinds if name in get_args(kind.model_fields["target"].annotation)
            ]
        elif name in kinds[0].model_fields:
            annotation = kinds[0].model_fields[str(name)].annotation
            candidates = getattr(annotation, "__args__", (annotation,))
            kinds = [
                kind
                for kind in candidates
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ] or kinds
        # Else an entry of a list or mapping: of the kind that it is of.
    return list(kinds[0].model_fields)


# New names by old ones, both from the top: {"tracking.capture.plots": "tracking.capture.figures"};
# none for a key that is gone. An entry goes with the next major version of the template.
RENAMED_KEYS: dict[str, str | None] = {}


def by_new_names(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of mlflow.yml with every value under its key's new name.

    Where both names are used, the old one wins: only the project's owner can have written it, and
    the new one has a value from the template.
    """
    content = deepcopy(content)
    for old, new in RENAMED_KEYS.items():
        try:
            value = _pop(content, old.split("."))
        except LookupError:
            continue
        if new is None:
            logger.warning("mlflow.yml: '%s' does nothing any more: delete it.", old)
            continue
        _merge(content, reduce(lambda inner, key: {key: inner}, reversed(new.split(".")), value))
        logger.warning(
            "mlflow.yml: '%s' is called '%s' now. The old name works until the next major version "
            "of the project's template.",
            old,
            new,
        )
    return content


def _pop(content: Any, keys: list[str]) -> Any:
    """Remove and return a nested value, and the mappings that are empty then."""
    if not isinstance(content, dict) or keys[0] not in content:
        raise LookupError
    if len(keys) == 1:
        return content.pop(keys[0])
    value = _pop(content[keys[0]], keys[1:])
    if not content[keys[0]]:
        del content[keys[0]]
    return value


def _merge(content: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


def environment_variable(variable: str, *default: str | None) -> str | None:
    """Read an environment variable, as ``${oc.env:NAME,default}``; an empty one counts as not set.

    In a copy of .env.example, a line such as ``MLFLOW_TRACKING_URI=`` has yet to be filled in.

    Raises:
        KeyError: the variable has no value, and there is no default.
    """
    if value := os.environ.get(variable):
        return value
    if default:
        return default[0]
    raise KeyError(f"Environment variable '{variable}' not found")


def _unreadable(error: Exception) -> str:
    """Explain why OmegaConf cannot read mlflow.yml: usually a variable has no value."""
    key = getattr(error, "full_key", None) or "it"
    if found := re.search(r"Environment variable '(.+?)' not found", str(error)):
        return (
            f"mlflow.yml: {key} reads the environment variable {found[1]}, which has no value: "
            "give it one in the environment or in .env (see .env.example)."
        )
    return f"mlflow.yml cannot be read: {one_line(error)}"
