"""The project: its package, pipelines, state folder, and the addresses that depend on its place."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from .disk import FileLock
from .errors import TrackingError
from .mlflow_internals import kedro_finds_pipelines_of, kedro_logs_nothing, loaded_pipelines

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline

PACKAGE = __name__.rpartition(".mlops.")[0]
PACKAGE_FOLDER = Path(__file__).parents[1]
TEMPLATE_FOLDER = Path(__file__).parent


def own_files(folder: Path) -> set[Path]:
    """Find the Python files below a folder of `src/`, without the template's."""
    parts = {*folder.glob("*")} - {TEMPLATE_FOLDER}
    return {path for part in parts for path in (part, *part.rglob("*.py")) if path.suffix == ".py"}


class State:
    """Paths of the project's folder `.kedro_mlflow`, which git ignores."""

    def __init__(self, folder: Path) -> None:
        self.project_path = folder.parent
        self.folder = folder
        self.journals = folder / "journal"  # One folder per run that is not delivered yet.
        self.refused = folder / "refused"  # One folder per run of which MLflow refused something.
        self.unregistered = folder / "unregistered"  # One per run whose model has no version.
        self.holdouts = folder / "holdouts"  # The rows on which models were evaluated.

    @contextmanager
    def one_at_a_time(self, lock: str, doing: str, seconds: float) -> Iterator[None]:
        """Wait until no other process of this machine does the same here.

        A TrackingError says that it takes longer than so many seconds.
        """
        self.folder.mkdir(exist_ok=True)
        with FileLock(self.folder / f"{lock}.lock", seconds) as is_alone:
            if not is_alone:
                raise TrackingError(
                    f"Another process has been {doing} in this project for {seconds:g} s: wait for "
                    "it, or end it, and try again."
                )
            yield

    @classmethod
    def of(cls, project_path: Path) -> "State":
        """Return the state folder of a project."""
        return cls(project_path / ".kedro_mlflow")

    @classmethod
    def of_journal(cls, journal: Path) -> "State":
        """Return the state folder that holds a run's journal."""
        return cls(journal.parents[1])


def require_environment(loader: Any) -> None:
    """Raise a TrackingError that names the Kedro environments, if the chosen one has no folder.

    Kedro fails at the first file that it reads of it; mlflow.yml would be that of no environment.
    """
    environment = getattr(loader, "env", None) or getattr(loader, "default_run_env", "")
    folder = Path(getattr(loader, "conf_source", None) or os.devnull)
    if environment and folder.is_dir() and not (folder / environment).is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise TrackingError(
            f"There is no Kedro environment '{environment}': {folder.name}/{environment} is "
            f"missing. Choose another one with --env or KEDRO_ENV ({folder.name}/ has: "
            f"{', '.join(names)}), or create this folder."
        )


def is_rendered(module: str) -> bool:
    """Return whether an answer asks for a module or room of `mlops/`, such as "monitoring".

    A folder alone does not count: Python's cache stays where an answer has taken a room away.
    """
    path = TEMPLATE_FOLDER.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def registered_pipeline(name: str, key: str) -> "Pipeline":
    """Return the pipeline that a key of mlflow.yml names; a `TrackingError` if there is none."""
    pipelines = registered_pipelines(name)
    if name not in pipelines:
        raise TrackingError(
            f"mlflow.yml: {key} names the pipeline '{name}', which pipeline_registry.py does not "
            f"have (it has: {', '.join(pipelines)})."
        )
    return pipelines[name]


def registered_pipelines(*wanted: str) -> "dict[str, Pipeline]":
    """Return all pipelines of the project by name, those that are wanted in any case.

    Kedro has asked the registry for them. Where it does not run, in a process that has loaded the
    model, the registry is asked as Kedro would ask it.
    """
    if loaded := loaded_pipelines(PACKAGE, wanted):
        return loaded
    with kedro_logs_nothing():
        registry = import_module(f"{PACKAGE}.pipeline_registry")
        if b"kedro.framework" in Path(str(registry.__file__)).read_bytes():  # Perhaps only later.
            import_module("kedro.framework.project")
    with kedro_finds_pipelines_of(PACKAGE):
        return cast("dict[str, Pipeline]", registry.register_pipelines())


def load_environment() -> None:
    """Read `.env` of the project for variables that are not set, and switch off MLflow's telemetry.

    MLFLOW_DISABLE_TELEMETRY=false, in the environment or in `.env`, leaves the telemetry on.
    """
    # Kedro 1.7 registers its resolvers by a name that OmegaConf 2.4 deprecates, at every command.
    warnings.filterwarnings("ignore", r"\s*register_new_resolver\(\) is deprecated", UserWarning)
    root = PACKAGE_FOLDER.parents[1]
    if not (root / "pyproject.toml").is_file():  # It is an installed package: it runs where it is.
        root = Path.cwd()
    if (path := root / ".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(path, override=False)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def environment_variable(variable: str, *default: str | None) -> str | None:
    """Read an environment variable, as ``${oc.env:NAME,default}``; an empty one counts as not set.

    In a copy of .env.example, a line such as ``MLFLOW_TRACKING_URI=`` has yet to be filled in.
    """
    if value := os.environ.get(variable):
        return value
    if default:
        return default[0]
    raise KeyError(f"Environment variable '{variable}' not found")


def anchor(uri: str, project_path: PurePath) -> str:
    """Make a ``sqlite:///`` URI or file path absolute; what names a server or service is kept."""
    # What is behind the first @ would be shown as the name of a machine.
    if is_database(uri) and re.match("[^:]+://[^:/]*:[^@]*@[^?]*@", uri):
        raise TrackingError("The address of a database has an @ in its password: write it as %40.")
    if uri.startswith("sqlite:///"):
        text, question_mark, query = uri.removeprefix("sqlite:///").partition("?")
        path = type(project_path)(text)
        if text == ":memory:":
            return uri
        begin = "sqlite:///" if path.is_absolute() else _sqlite_in(project_path)
        return f"{begin}{path.as_posix()}{question_mark}{query}"
    # A letter alone is no scheme, but a drive of Windows.
    is_path = len(urlsplit(uri).scheme) < 2 and uri not in ("databricks", "databricks-uc", "uc")
    return (project_path / uri).as_uri() if is_path else uri


def _sqlite_in(folder: PurePath) -> str:
    """Return how the URI of a SQLite database in a folder begins."""
    path = folder.as_posix().rstrip("/")
    if not {"%", "?"} & set(path):
        return f"sqlite:///{path}/"
    from sqlalchemy import make_url

    if make_url("sqlite:///%25").database == "%":  # SQLAlchemy 2.0 decodes nothing.
        path = path.replace("%", "%25").replace("?", "%3F")
    # Of an address without a driver MLflow would make the folder as it is written here.
    return f"sqlite+pysqlite:///{path}/"


def is_server(uri: str) -> bool:
    """Return whether a tracking server answers at this URI, and so has pages of its own."""
    return urlsplit(uri).scheme in ("http", "https")


def is_database(uri: str) -> bool:
    """Return whether runs are written straight into a database, with no server in between."""
    return urlsplit(uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")
