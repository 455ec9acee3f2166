"""The schema of mlflow.yml, and its content resolved into one frozen value.

Keys of kedro-mlflow 2.x keep their meaning. An unknown key is refused by name.
"""

import logging
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from copy import deepcopy
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from .directions import direction_of
from .errors import TrackingError, one_line
from .project import PACKAGE, anchor, is_database, is_rendered

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

logger = logging.getLogger(__name__)

# MLflow's own variables.
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
# A folder for a run that is to leave no trace elsewhere: `kedro mlflow reproduce` sets it.
SCRATCH = "KEDRO_MLFLOW_SCRATCH"
_SYSTEM_METRICS = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
# The owner's rules of promotion.
RULES = "promotion.yml"


class Options(BaseModel):
    """A mapping of a configuration file; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BoundOptions(Options):
    """Limits of a value."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "BoundOptions":
        if self.min is None and self.max is None:
            raise ValueError("give it min, max or both")
        return self


class ImprovementOptions(Options):
    """How a metric must compare with the champion's."""

    better: Literal["lower", "higher"] | None = None  # None: as the metric's name says.
    tolerance: float = 0.0


class PromotionOptions(Options):
    """When a version may become the champion; without rules, always."""

    auto: bool = False
    evaluation: str = "evaluation"
    holdout: str | None = None
    predictions: str | None = None
    share_holdout: bool | None = None  # None: if model.example is rows.
    thresholds: dict[str, BoundOptions] = {}
    slices: dict[str, BoundOptions] = {}
    improvement: dict[str, ImprovementOptions] = {}
    # Keys that are in mlflow.yml, where version 2.0 of the template had them.
    _in_mlflow_yml: frozenset[str] = PrivateAttr(frozenset())

    @model_validator(mode="after")
    def _can_be_compared(self) -> "PromotionOptions":
        if self.improvement and not (self.holdout and self.predictions):
            raise ValueError("improvement compares on the same rows: give holdout and predictions")
        for name, options in self.improvement.items():
            if not (options.better or direction_of(name)):
                raise ValueError(
                    f"improvement.{name}: its name does not say which values are better: give "
                    "better: lower, or better: higher"
                )
        return self

    def at(self, key: str) -> str:
        """Return where a key stands, for a person."""
        return f"mlflow.yml: promotion.{key}" if key in self._in_mlflow_yml else f"{RULES}: {key}"

    def read_from(self, mlflow_yml: Collection[str]) -> "PromotionOptions":
        """Note which keys mlflow.yml has."""
        self._in_mlflow_yml = frozenset(mlflow_yml)
        return self


class RequestHeaderProviderOptions(Options):
    """A class that adds headers to MLflow's requests, such as a token that expires."""

    type: str | None = None
    pass_context: bool = False
    init_kwargs: dict[str, Any] = {}


class PlaceOptions(Options):
    """An MLflow server or database, and its registry."""

    mlflow_tracking_uri: str | None = None
    mlflow_registry_uri: str | None = None

    @property
    def uri(self) -> str:
        """The tracking URI, once the configuration is resolved."""
        return str(self.mlflow_tracking_uri)

    @property
    def registry_uri(self) -> str:
        """The registry's URI, once the configuration is resolved."""
        return self.mlflow_registry_uri or self.uri


class MirrorOptions(PlaceOptions):
    """A second destination of every run: another MLflow, or a sink class of the project."""

    type: str | None = None
    init_kwargs: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "MirrorOptions":
        if bool(self.mlflow_tracking_uri) == bool(self.type):
            raise ValueError("give it one of mlflow_tracking_uri and type")
        foreign = "mlflow_registry_uri" if self.type else "init_kwargs"
        if foreign in self.model_fields_set:
            raise ValueError(f"{foreign} does not go with the other keys")
        return self


class WebhookOptions(Options):
    """An address that a team's server calls when something happens in its registry."""

    name: str = Field(min_length=1)
    url: str
    events: list[str] = Field(min_length=1)
    secret_env: str | None = Field(None, pattern=r"^[A-Za-z_]\w*$")  # The variable that holds it.


class ServerOptions(PlaceOptions):
    """The MLflow that runs and models go to, and how to authenticate there."""

    # An entry of credentials.yml, or MLflow's variables themselves.
    credentials: str | dict[str, str] | None = None
    request_header_provider: RequestHeaderProviderOptions = RequestHeaderProviderOptions()
    webhooks: list[WebhookOptions] = []

    @model_validator(mode="after")
    def _has_a_server(self) -> "ServerOptions":
        if self.webhooks and not is_rendered("backend.webhooks"):
            raise ValueError(
                "webhooks is for `kedro mlflow server`, which this project does not have: "
                "`uv run kedro mlflow update -d tracking_preset=server` brings it"
            )
        if len({each.name for each in self.webhooks}) < len(self.webhooks):
            raise ValueError("webhooks has a name twice: give each its own")
        return self


class _DisableTrackingOptions(Options):
    disable_autologging: bool = True
    pipelines: list[str] = []


class _CreateExperimentOptions(Options):
    artifact_location: str | None = None
    tags: dict[str, str] | None = None


class ExperimentOptions(Options):
    """The experiment of the runs."""

    name: str = PACKAGE
    create_experiment_kwargs: _CreateExperimentOptions = _CreateExperimentOptions()
    restore_if_deleted: bool = True


class RunOptions(Options):
    """The run to resume, the name of new runs, and their child runs (`namespace`)."""

    id: str | None = None
    name: str | None = None
    nested: bool | Literal["namespace"] | None = None


class _DictParamsOptions(Options):
    flatten: bool = False
    recursive: bool = True
    sep: str = "."


class ParamsOptions(Options):
    """How parameters are logged."""

    dict_params: _DictParamsOptions = _DictParamsOptions()
    long_params_strategy: Literal["fail", "truncate", "tag"] = "fail"


class MetricsOptions(Options):
    """Which metrics are logged, by patterns of their names."""

    include: list[str] = ["*"]
    exclude: list[str] = []
    max_names: int = Field(default=1000, ge=0)
    max_history: int = Field(default=10_000, ge=0)


class ModelsOptions(Options):
    """Registered names of models, by patterns of data set names."""

    register_as: dict[str, str] = {}


class ArtifactsOptions(Options):
    """Which data sets' files are logged, by patterns of their names, and up to which size."""

    datasets: list[str] = []
    max_megabytes: float = Field(default=100, ge=0)
    max_files: int = Field(default=100, ge=0)


class DiffOptions(Options):
    """How much is kept of what differs from the commit, and what of it never is."""

    max_kilobytes: float = Field(default=500, ge=0)
    exclude: list[str] = ["data/**", "**/*.csv", "**/*.ipynb"]  # As git's patterns, with rows.


class CaptureOptions(Options):
    """What is captured of a run."""

    metrics: bool = True
    node_times: bool = True
    figures: bool = True
    models: bool = True
    lineage: bool = True
    timeline: bool = True
    system: bool = False


class TrackingOptions(Options):
    """What is logged of a run."""

    disable_tracking: _DisableTrackingOptions = _DisableTrackingOptions()
    experiment: ExperimentOptions = ExperimentOptions()
    run: RunOptions = RunOptions()
    params: ParamsOptions = ParamsOptions()
    capture: CaptureOptions = CaptureOptions()
    metrics: MetricsOptions = MetricsOptions()
    models: ModelsOptions = ModelsOptions()
    artifacts: ArtifactsOptions = ArtifactsOptions()
    diff: DiffOptions = DiffOptions()


class RedactionOptions(Options):
    """Regular expressions for the names of secrets, beside the usual ones."""

    patterns: list[re.Pattern[str]] = []


class _CardOptions(Options):
    text: str | None = None
    file: str | None = None


class ModelOptions(Options):
    """The registered model: its pipeline, input, card and the example that is stored with it."""

    name: str
    pipeline: str = "inference"
    input: str = "instances"
    max_lookup_megabytes: float = Field(default=100, ge=0)  # Of what no pipeline makes.
    example: Literal["none", "synthetic", "rows"] = "synthetic"
    environment: list[str] = []  # What processes with the model's code see of it.
    traced: bool = True  # Adds the version to predictions of a batch.
    alias: str = "challenger"  # Of a new version; another one keeps it from becoming the champion.
    card: _CardOptions = _CardOptions()

    @field_validator("alias")
    @classmethod
    def _names_no_champion(cls, alias: str) -> str:
        if alias == "champion":
            raise ValueError("`kedro mlflow promote` gives that one")
        # MLflow keeps the latter for itself.
        if not re.fullmatch(r"[A-Za-z_]\w*", alias) or re.fullmatch(r"(?i)latest|v\d+", alias):
            raise ValueError(
                "an alias has letters, digits and underscores, and is not 'latest' or like 'v1'"
            )
        return alias


class _UiOptions(Options):
    host: str = "127.0.0.1"
    port: int = 5000


class _ShippingOptions(Options):
    on_unreachable: Literal["offline", "fail"] = "offline"
    on_undelivered: Literal["keep", "fail"] | None = None  # None: fail in a task and in CI.
    deadline: float = Field(default=60, gt=0)
    spill: str | None = None  # A folder of an object store.
    abandoned_after_hours: float = Field(default=24, gt=0)  # A run that was begun for tasks.


class _ServingOptions(Options):
    max_megabytes: float = Field(default=10, gt=0)
    max_rows: int = Field(default=100_000, gt=0)
    max_cells: int = Field(default=2_000_000, gt=0)
    max_connections: int = Field(default=1000, gt=0)
    head_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=30, gt=0)
    poll_seconds: float = Field(default=10, gt=0)


class KedroMlflowConfig(Options):
    """All of mlflow.yml; without the file, its defaults."""

    server: ServerOptions = ServerOptions()
    tracking: TrackingOptions = TrackingOptions()
    redaction: RedactionOptions = RedactionOptions()
    model: ModelOptions | None = None
    promotion: PromotionOptions = PromotionOptions()
    mirrors: list[MirrorOptions] = []
    shipping: _ShippingOptions = _ShippingOptions()
    ui: _UiOptions = _UiOptions()
    serving: _ServingOptions = _ServingOptions()
    deployment: Any = None  # `deployment/options.py` checks it, where an answer asks for that.
    _environment: str = PrivateAttr("")
    _option: str = PrivateAttr("")
    _monitoring: Any = PrivateAttr(None)

    @property
    def environment(self) -> str:
        """The Kedro environment that it was read from."""
        return self._environment

    @property
    def monitoring(self) -> Any:
        """monitoring.yml, as `monitoring/options.py` has it; none where no answer asks for that."""
        return self._monitoring

    def watch(self, monitoring: Any) -> "KedroMlflowConfig":
        """Note what monitoring.yml says."""
        self._monitoring = monitoring
        return self

    def read_from(self, environment: str, default: str) -> "KedroMlflowConfig":
        """Note the Kedro environment that it was read from; the default one needs no option."""
        self._environment = environment
        self._option = "" if environment == default else f" --env {environment}"
        return self

    def typed(self, command: str) -> str:
        """Return what to type for a command, such as "sync", in the same Kedro environment."""
        return f"uv run kedro mlflow {command}{self._option}"


def read_config(context: "KedroContext", project_path: Path) -> KedroMlflowConfig:
    """Read mlflow.yml and promotion.yml of the context's Kedro environment, check and resolve them.

    The rules may be in mlflow.yml as well, where projects of version 2.0 have them.
    """
    loader: Any = context.config_loader
    rules = read_file(loader, "promotion")
    content = _read(loader, "mlflow")
    default = getattr(loader, "default_run_env", "")
    config = resolve(parse_config(content, rules), project_path)
    if folder := os.environ.get(SCRATCH):
        config = in_scratch(config, Path(folder))
    return config.watch(_monitoring(loader)).read_from(context.env or default, default)


def _monitoring(loader: Any) -> Any:
    """Read and check monitoring.yml, where an answer asks for it."""
    if not is_rendered("monitoring"):
        return None
    schema = import_module(".monitoring.options", __package__).MonitoringOptions
    try:
        return schema.model_validate(read_file(loader, "monitoring"))
    except ValidationError as error:
        lines = [f"monitoring.yml: {explain(schema, each)}" for each in error.errors()]
        raise TrackingError("\n".join(lines)) from error


def read_file(loader: Any, key: str) -> dict[str, Any]:
    """Read a file of the template's own, which a project's settings.py need not name."""
    if not hasattr(loader, "config_patterns"):
        return {}
    loader.config_patterns.setdefault(key, [f"{key}.yml"])
    loader.merge_strategy.setdefault(key, "soft")
    return _read(loader, key)


def in_scratch(config: KedroMlflowConfig, folder: Path) -> KedroMlflowConfig:
    """Return a configuration by which a run leaves no trace but in a folder."""
    uri = anchor("sqlite:///mlflow.db", folder)
    creation = _CreateExperimentOptions(artifact_location=(folder / "artifacts").as_uri())
    experiment = config.tracking.experiment.model_copy(
        update={"create_experiment_kwargs": creation}
    )
    run = config.tracking.run.model_copy(update={"id": None})
    tracking = config.tracking.model_copy(update={"experiment": experiment, "run": run})
    return config.model_copy(
        update={
            "server": ServerOptions(mlflow_tracking_uri=uri, mlflow_registry_uri=uri),
            "tracking": tracking,
            "model": None,
            "mirrors": [],
            "shipping": _ShippingOptions(on_undelivered="fail"),
        }
    )


def _read(loader: Any, key: str) -> dict[str, Any]:
    from kedro.config import MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    try:
        content: dict[str, Any] = loader[key]
        return content
    except MissingConfigException:
        return {}
    except OmegaConfBaseException as error:
        if found := re.search(r"Environment variable '(.+?)' not found", str(error)):
            raise TrackingError(
                f"{key}.yml: {error.full_key or 'it'} reads the environment variable {found[1]}, "
                "which has no value: give it one in the environment or in .env (see .env.example)."
            ) from error
        raise TrackingError(f"{key}.yml cannot be read: {one_line(error)}") from error


def resolve(config: KedroMlflowConfig, project_path: Path) -> KedroMlflowConfig:
    """Fill in what depends on the project and on MLflow's variables; addresses become absolute."""
    server = _filled_in(config.server, os.environ, project_path)
    experiment, capture = config.tracking.experiment, config.tracking.capture
    if (name := os.environ.get(EXPERIMENT_NAME)) and "name" not in experiment.model_fields_set:
        experiment = experiment.model_copy(update={"name": name})
    if is_database(server.uri):
        # MLflow's default is a folder of the working directory.
        creation = experiment.create_experiment_kwargs
        location = anchor(creation.artifact_location or "mlartifacts", project_path)
        creation = creation.model_copy(update={"artifact_location": location})
        experiment = experiment.model_copy(update={"create_experiment_kwargs": creation})
    if os.environ.get(_SYSTEM_METRICS, "").lower() in ("true", "1"):
        capture = capture.model_copy(update={"system": True})
    tracking = config.tracking.model_copy(update={"experiment": experiment, "capture": capture})
    mirrors = [
        _filled_in(each, {}, project_path) if each.mlflow_tracking_uri else each
        for each in config.mirrors
    ]
    return config.model_copy(update={"server": server, "mirrors": mirrors, "tracking": tracking})


_Place = TypeVar("_Place", bound=PlaceOptions)


def _filled_in(place: _Place, variables: Mapping[str, str], project_path: Path) -> _Place:
    """Return absolute addresses; for those that are null, what MLflow takes then."""
    uri = place.mlflow_tracking_uri or variables.get("MLFLOW_TRACKING_URI")
    uri = anchor(uri or _default_uri(project_path), project_path)
    registry = place.mlflow_registry_uri or variables.get("MLFLOW_REGISTRY_URI")
    if registry:
        registry = anchor(registry, project_path)
    else:  # On Databricks, Unity Catalog of the same profile.
        registry = re.sub(r"^databricks(?=$|://.)", "databricks-uc", uri)
    return place.model_copy(update={"mlflow_tracking_uri": uri, "mlflow_registry_uri": registry})


def _default_uri(project_path: Path) -> str:
    """Return a folder with runs of earlier years, which MLflow takes before a new database."""
    if (project_path / "mlflow.db").exists():
        return "sqlite:///mlflow.db"
    with suppress(OSError):
        for path in (project_path / "mlruns").iterdir():
            if path.name.isdigit() and (path / "meta.yaml").exists():
                return "mlruns"
    return "sqlite:///mlflow.db"


def parse_config(
    content: dict[str, Any], rules: Mapping[str, Any] | None = None
) -> KedroMlflowConfig:
    """Check the content of mlflow.yml, and the rules of promotion.yml beside it.

    A `TrackingError` has a line for each key that is wrong, and says which rules both files have.
    """
    content, rules = by_new_names(content), dict(rules or {})
    if rules.keys() == {"promotion"} and isinstance(rules["promotion"], dict):
        rules = rules["promotion"]  # The section of mlflow.yml, moved as it was.
    older: Any = content.get("promotion") or {}
    if not isinstance(older, dict):
        rules = {}  # It is refused as it stands.
    if twice := [key for key in rules if key in older and older[key] != rules[key]]:
        raise TrackingError(
            f"mlflow.yml and {RULES} differ in promotion.{', promotion.'.join(twice)}: keep the "
            f"rules in {RULES}, and delete the section `promotion` of mlflow.yml."
        )
    if rules:
        content["promotion"] = {**older, **rules}
    schema = KedroMlflowConfig
    with suppress(ModuleNotFoundError):  # Where an answer asks for a serving target.
        options = import_module(".deployment.options", __package__)
        schema = options.schema_of(content.get("deployment"))
    try:
        config = schema.model_validate(content)
    except ValidationError as error:
        lines = [_place_and_problem(schema, each, rules) for each in error.errors()]
        raise TrackingError("\n".join(lines)) from error
    config.promotion.read_from(older)
    return config


def _place_and_problem(schema: Any, problem: Mapping[str, Any], rules: Collection[str]) -> str:
    first, *rest = problem["loc"] or ("",)
    if first == "promotion" and rules and (not rest or rest[0] in rules):
        return f"{RULES}: {explain(PromotionOptions, {**problem, 'loc': rest})}"
    return f"mlflow.yml: {explain(schema, problem)}"


def explain(schema: Any, problem: Mapping[str, Any]) -> str:
    """Say what pydantic finds wrong with a key; for one that is unknown, which ones there are."""
    location = problem["loc"]
    key = ".".join(map(str, location))
    if problem["type"] != "extra_forbidden":
        return ": ".join(filter(None, [key, f"{problem['msg'].removeprefix('Value error, ')}."]))
    # Down to the schema of the mapping that holds the key; entries of a list have that of the list.
    for name in location[:-1]:
        if field := schema.model_fields.get(name):
            candidates = get_args(field.annotation) or (field.annotation,)
            schema = next((each for each in candidates if hasattr(each, "model_fields")), schema)
    valid = list(schema.model_fields)
    (nearest,) = get_close_matches(str(location[-1]), valid, n=1, cutoff=0.0)
    return f"unknown key '{key}'; the nearest valid one is '{nearest}' (all: {', '.join(valid)})."


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
        except (LookupError, TypeError, AttributeError):  # No mapping has this key.
            continue
        notice = "does nothing any more: delete it."
        if new:
            for key in reversed(new.split(".")):
                value = {key: value}
            _merge(content, value)
            notice = (
                f"is called '{new}' now. The old name works until the next major version of the "
                "project's template."
            )
        logger.warning("mlflow.yml: '%s' %s", old, notice)
    return content


def _pop(content: Any, keys: list[str]) -> Any:
    """Remove and return a nested value, and the mappings that are empty then."""
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
