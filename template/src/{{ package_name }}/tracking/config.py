"""The schema of mlflow.yml.

Keys that kedro-mlflow 2.x has mean here what they mean there. An unknown key is refused by name.
"""

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .deployment_options import (
    DatabricksOptions,
    DockerOptions,
    KubernetesOptions,
    SageMakerOptions,
)
from .errors import TrackingError
from .promotion.options import PromotionOptions
from .renamed import by_new_names
from .requirements import unreadable

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RequestHeaderProviderOptions(_Options):
    """A class that gives headers to MLflow's calls, such as a token that expires."""

    type: str | None = None
    pass_context: bool = False
    init_kwargs: dict[str, Any] = Field(default_factory=dict)


class PlaceOptions(_Options):
    """Where runs and models go."""

    mlflow_tracking_uri: str | None = None
    mlflow_registry_uri: str | None = None

    @property
    def registry_uri(self) -> str:
        """Where models are registered: on the tracking server, unless it is said."""
        return self.mlflow_registry_uri or str(self.mlflow_tracking_uri)


class MirrorOptions(PlaceOptions):
    """Where every run goes as well: another tracking server, or a place that a class speaks to."""

    type: str | None = None
    init_kwargs: dict[str, Any] = Field(default_factory=dict)

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
    """Where runs and models go, and what opens the door there."""

    credentials: str | None = None
    request_header_provider: RequestHeaderProviderOptions = Field(
        default_factory=RequestHeaderProviderOptions
    )


class DisableTrackingOptions(_Options):
    """What is not tracked at all."""

    disable_autologging: bool = True
    pipelines: list[str] = Field(default_factory=list)


class CreateExperimentOptions(_Options):
    """How the experiment is made when it does not exist yet."""

    artifact_location: str | None = None
    tags: dict[str, str] | None = None


class ExperimentOptions(_Options):
    """The experiment that runs belong to."""

    name: str = "Default"
    create_experiment_kwargs: CreateExperimentOptions = Field(
        default_factory=CreateExperimentOptions
    )
    restore_if_deleted: bool = True


class RunOptions(_Options):
    """Which run is continued, if not a new one, how it is called, and which child runs it has."""

    id: str | None = None
    name: str | None = None
    nested: bool | Literal["namespace"] = True


class DictParamsOptions(_Options):
    """What becomes of a parameter that is a dictionary."""

    flatten: bool = False
    recursive: bool = True
    sep: str = "."


class ParamsOptions(_Options):
    """How parameters are written down."""

    dict_params: DictParamsOptions = Field(default_factory=DictParamsOptions)
    long_params_strategy: Literal["fail", "truncate", "tag"] = "fail"


class MetricsOptions(_Options):
    """Which metrics are kept, by patterns of their names."""

    include: list[str] = Field(default_factory=lambda: ["*"])
    exclude: list[str] = Field(default_factory=list)
    max_history: int = Field(default=10_000, ge=0)


class ModelsOptions(_Options):
    """Which models are registered: registered names by patterns of data set names."""

    register_as: dict[str, str] = Field(default_factory=dict)


class ArtifactsOptions(_Options):
    """Which data sets' files are kept, by patterns of data set names, and up to which size."""

    datasets: list[str] = Field(default_factory=list)
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
    """What a run keeps, and under which name."""

    disable_tracking: DisableTrackingOptions = Field(default_factory=DisableTrackingOptions)
    experiment: ExperimentOptions = Field(default_factory=ExperimentOptions)
    run: RunOptions = Field(default_factory=RunOptions)
    params: ParamsOptions = Field(default_factory=ParamsOptions)
    capture: CaptureOptions = Field(default_factory=CaptureOptions)
    metrics: MetricsOptions = Field(default_factory=MetricsOptions)
    models: ModelsOptions = Field(default_factory=ModelsOptions)
    artifacts: ArtifactsOptions = Field(default_factory=ArtifactsOptions)


class RedactionOptions(_Options):
    """What is a secret, beyond the usual names: regular expressions for keys."""

    patterns: list[re.Pattern[str]] = Field(default_factory=list)


class CardOptions(_Options):
    """The model card: which file holds what its owner says, and where it is kept as well."""

    text: str | None = None
    file: str | None = None


class ModelOptions(_Options):
    """The registered model: which pipeline it is, its input, its card, and whose a row is."""

    name: str
    pipeline: str = "inference"
    input: str = "instances"
    traced: bool = True
    card: CardOptions = Field(default_factory=CardOptions)


class UiOptions(_Options):
    """Where `kedro mlflow ui` opens the MLflow page."""

    host: str = "127.0.0.1"
    port: int = 5000


class ShippingOptions(_Options):
    """How runs get from the journal to MLflow."""

    on_unreachable: Literal["offline", "fail"] = "offline"
    deadline: float = Field(default=60, gt=0)


class ServingOptions(_Options):
    """What `kedro mlflow serve` takes of a request, and how often it asks for a new champion."""

    max_megabytes: float = Field(default=10, gt=0)
    max_rows: int = Field(default=100_000, gt=0)
    poll_seconds: float = Field(default=10, gt=0)


class KedroMlflowConfig(_Options):
    """The whole of mlflow.yml; without the file, its defaults."""

    server: ServerOptions = Field(default_factory=ServerOptions)
    tracking: TrackingOptions = Field(default_factory=TrackingOptions)
    redaction: RedactionOptions = Field(default_factory=RedactionOptions)
    model: ModelOptions | None = None
    promotion: PromotionOptions = Field(default_factory=PromotionOptions)
    mirrors: list[MirrorOptions] = Field(default_factory=list)
    shipping: ShippingOptions = Field(default_factory=ShippingOptions)
    ui: UiOptions = Field(default_factory=UiOptions)
    serving: ServingOptions = Field(default_factory=ServingOptions)
    deployment: DockerOptions | KubernetesOptions | SageMakerOptions | DatabricksOptions | None = (
        Field(default=None, discriminator="target")
    )


def load_config(context: "KedroContext") -> KedroMlflowConfig:
    """Read mlflow.yml of the context's Kedro environment.

    Raises:
        TrackingError: a key is unknown, a value is of the wrong kind, or an environment variable is
            not set.
    """
    from kedro.config import MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return parse_config(context.config_loader["mlflow"])
    except MissingConfigException:
        return KedroMlflowConfig()
    except OmegaConfBaseException as error:
        raise TrackingError(unreadable(error)) from error


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
    """Write a location as it stands in mlflow.yml, where a target is no level of its own."""
    if location[0] == "deployment" and len(location) > 2:
        location = (location[0], *location[2:])
    return ".".join(map(str, location))


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """List the valid keys of the mapping in which the last key of a location stands."""
    kinds: list[type[BaseModel]] = [KedroMlflowConfig]
    for name in location[:-1]:
        if len(kinds) > 1:  # One kind a serving target, and this is the target's name.
            kinds = [kind for kind in kinds if name in get_args(_annotation(kind, "target"))]
        elif name in kinds[0].model_fields:
            annotation = _annotation(kinds[0], str(name))
            candidates = getattr(annotation, "__args__", (annotation,))
            kinds = [
                kind
                for kind in candidates
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ] or kinds
        # Else an entry of a list or mapping: of the kind that it is of.
    return list(kinds[0].model_fields)


def _annotation(options: type[BaseModel], name: str) -> Any:
    return options.model_fields[name].annotation
