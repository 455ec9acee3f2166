"""Both ends of a migration, and which thing of the source is which at the target."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..backend.access import Environment
from ..backend.client import connect, is_transient, reason_of
from ..backend.databases import file_of
from ..config import ExperimentOptions, KedroMlflowConfig, ModelOptions, PlaceOptions
from ..errors import TrackingError
from ..mlflow_internals import tracing_client
from ..project import is_database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.tracing.client import TracingClient

# Tags at the target: which run, model or version of the source something is.
FROM_RUN = "kedro.moved_from_run"
FROM_MODEL = "kedro.moved_from_model"

PARENT_RUN = "mlflow.parentRunId"

# A run with one of these does not change any more.
ENDED = ("FINISHED", "FAILED", "KILLED")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Endpoint:
    """One MLflow: tracking server or database, and its registry."""

    place: PlaceOptions
    client: "MlflowClient"
    admitted: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.place.uri

    @property
    def traces(self) -> "TracingClient":
        """The client of its traces."""
        return tracing_client(self.uri)

    @classmethod
    def of(cls, environment: Environment) -> "Endpoint":
        """Open the MLflow of a Kedro environment, with the login of that at each call."""
        place, admitted = environment.config.server, environment.admitted
        with admitted():
            client = connect(place)
        return cls(place, cast("MlflowClient", _Admitted(client, admitted)), admitted)


class _Admitted:
    """MLflow's client, whose every call is made while it is let in."""

    def __init__(
        self, client: "MlflowClient", admitted: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._client, self._admitted = client, admitted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)

        @wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._admitted():
                return found(*args, **kwargs)

        return call if callable(found) else found


def open_source(uri: str) -> Endpoint:
    """Open the MLflow that is copied.

    Raises:
        TrackingError: it is a database file that does not exist. MLflow would create an empty one.
    """
    if is_database(uri) and (file := file_of(uri)) and not file.is_file():
        raise TrackingError(f"--from: there is no database {file}.")
    return open_target(PlaceOptions(mlflow_tracking_uri=uri, mlflow_registry_uri=uri))


def open_target(options: PlaceOptions) -> Endpoint:
    """Open the MLflow that is copied to."""
    return Endpoint(options, connect(options))


@dataclass
class Ids:
    """Ids at the target, by those at the source; none for what stays. Traces keep theirs."""

    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str | None] = field(default_factory=dict)
    models: dict[str, str | None] = field(default_factory=dict)
    traces: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Migration:
    """One migration.

    Attributes:
        source: what is copied.
        target: what it is copied to.
        config: mlflow.yml, resolved.
        tell: shows a line of progress.
        ids: what was copied, now or by an earlier migration.
        problems: what could not be copied, and why.
    """

    source: Endpoint
    target: Endpoint
    config: KedroMlflowConfig
    tell: Callable[[str], None]
    ids: Ids = field(default_factory=Ids)
    problems: list[str] = field(default_factory=list)


@contextmanager
def noting(problems: list[str], what: str) -> Iterator[None]:
    """Note why the block has failed; raise what would fail everything after it as well."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, TrackingError, OSError) as error:
        if is_transient(error):
            raise
        problems.append(f"{what}: {reason_of(error)}")


def experiment_name(name: str, options: ExperimentOptions) -> str:
    """Name an experiment at the target: where names are paths, beside the project's own."""
    folder = options.name.rpartition("/")[0]
    is_path = options.name.startswith("/") and not name.startswith("/")
    return f"{folder}/{name}" if is_path else name


def registered_name(name: str, options: ModelOptions | None) -> str:
    """Name a registered model at the target: where names have a schema, in the project's own."""
    schema = options.name.rpartition(".")[0] if options else ""
    return f"{schema}.{name}" if schema and "." not in name else name


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Gather items into lists of at most this size."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
