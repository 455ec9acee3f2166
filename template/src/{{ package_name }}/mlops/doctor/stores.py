"""Checks of what is stored: database, tables, experiment, artifacts, registry and journals.

Whether it can be written is shown by the least that shows it, which is removed again. A tag that
comes and goes changes nothing for anybody. Only where there is no experiment yet one is created,
under another name, and deleted: MLflow keeps it in its trash until `mlflow gc`. Managed services
keep files by the run alone: there a run is created, and deleted.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from ..backend.client import if_exists
from ..backend.databases import driver_message, opened
from ..callers import is_this_machine
from ..config import KedroMlflowConfig
from ..disk import FileLock, vanished
from ..errors import one_line
from ..project import State, is_database, is_server
from .setup import MARK, Case, Finding, Setup, failed, first_of, ok, warning

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from sqlalchemy import URL

_NO_RUN_YET = "comes with the first run"

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mssql": "SQL Server"}

_URI = "MLFLOW_TRACKING_URI"
_CLOSED = "{name} does not open ({reason})"

# By the words of the driver.
_NO_DATABASE: list[Case] = [
    ("password|access denied|authentication", _CLOSED, f"Correct user and password in {_URI}."),
    ("does not exist|unknown database", _CLOSED, f"Create the database, or correct {_URI}."),
    ("unable to open|not a database", _CLOSED, "Let this user write the file, or move it away."),
    ("", _CLOSED, f"Start the database, or correct {_URI}."),
]


def database(setup: Setup) -> Finding:
    """Check whether the database opens."""
    from sqlalchemy import make_url, text
    from sqlalchemy.exc import SQLAlchemyError

    collation = ""
    url = make_url(setup.uri)
    name = _NAMES.get(url.get_backend_name(), url.get_backend_name())
    if name == "SQLite" and url.database:
        shown = _in_project(setup, url)
        if not Path(url.database).exists():
            return ok(f"{shown} {_NO_RUN_YET}", not_yet=_NO_RUN_YET)
        name = f"{name} in {shown}"
    elif url.host:
        name = f"{name} at {url.host}"
    try:
        with opened(setup.uri) as connection:
            number = ".".join(map(str, connection.dialect.server_version_info or ()))
            if url.get_backend_name() == "mysql":
                # The tables' own, now or later; the server's default ignores case.
                collation = connection.execute(text("select @@collation_database")).scalar_one()
            if getattr(connection.dialect, "is_mariadb", False):
                name = name.replace("MySQL", "MariaDB")
    except SQLAlchemyError as error:
        words = driver_message(error)
        return first_of(_NO_DATABASE, words, name=name, reason=one_line(Exception(words)))
    if collation.endswith("_ci"):
        remedy = "Create a database with `character set utf8mb4 collate utf8mb4_bin`."
        return warning(f"{name}, version {number}, takes the metrics loss and Loss for one", remedy)
    return ok(f"{name}, version {number}")


def _in_project(setup: Setup, url: "URL") -> Path:
    path = Path(str(url.database))
    root = setup.project_path
    return path.relative_to(root) if path.is_relative_to(root) else path


def tables(setup: Setup) -> Finding:
    """Compare the revision of the tables with the one that this MLflow works with."""
    import mlflow
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from mlflow.version import VERSION
    from sqlalchemy import make_url

    with opened(setup.uri) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        needed = f"none yet: what MLflow {VERSION} needs {_NO_RUN_YET}"
        return ok(needed, not_yet=_NO_RUN_YET)
    migrations = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    known = [script.revision for script in migrations.walk_revisions()]
    # Without its password: the shell inside reads the variables of .env.
    upgrade = "uv run --env-file .env sh -c 'mlflow db upgrade \"$MLFLOW_TRACKING_URI\"'"
    if (url := make_url(setup.uri)).get_backend_name() == "sqlite":
        upgrade = f"uv run mlflow db upgrade sqlite:///{_in_project(setup, url)}"
    return judge_revision(revision, known, VERSION, upgrade)


def judge_revision(revision: str, known: list[str], installed: str, upgrade: str) -> Finding:
    """Judge the revision of tables by all that the installed MLflow knows, the newest first."""
    if revision == known[0]:
        return ok(f"up to date for MLflow {installed}")
    if revision in known:
        behind = known.index(revision)
        message = f"created by an older MLflow: {behind} migrations behind {installed}"
        return failed(message, f"Back the database up, then run: {upgrade}")
    remedy = "Raise mlflow in pyproject.toml to the others' version, and run `uv sync`."
    return failed(f"created by a newer MLflow than {installed}", remedy)


_ASK_FOR_EDIT = "Ask its owner for the permission EDIT, or choose another name in mlflow.yml."

# By the error code of MLflow's exception.
_NOT_WRITABLE: list[Case] = [
    ("^PERMISSION_DENIED", "the {server} does not let us write '{name}'", _ASK_FOR_EDIT),
    ("", "'{name}' cannot be written ({reason})", "Read the {server}'s own log."),
]


def experiment(setup: Setup) -> Finding:
    """Write into the project's experiment, or into another one while there is none."""
    from mlflow.exceptions import MlflowException

    options = setup.config.tracking.experiment
    try:
        found = setup.client.get_experiment_by_name(options.name)
        deleted = found is not None and found.lifecycle_stage == "deleted"
        if deleted and not options.restore_if_deleted:
            remedy = "Restore it on MLflow's page, or set tracking.experiment.restore_if_deleted."
            return failed(f"'{options.name}' has been deleted", remedy)
        if found and not deleted:
            _write(setup, found)
            return ok(f"'{options.name}' can be written")
        _write(setup, _create_another(setup, options.name))
    except MlflowException as error:
        values = {"server": "server", "name": options.name, "reason": one_line(error)}
        return first_of(_NOT_WRITABLE, error.error_code, **values)
    state = "is deleted, the next run restores it" if deleted else _NO_RUN_YET
    return ok(f"'{options.name}' {state}; tried with another one")


def _create_another(setup: Setup, name: str) -> "Experiment":
    """Create an experiment beside the project's: on Databricks it is the folder that permits it."""
    name = f"{name}-{setup.name}"
    location = setup.config.tracking.experiment.create_experiment_kwargs.artifact_location
    experiment_id = setup.client.create_experiment(name, location)
    setup.remove_later(f"the experiment {name}", setup.client.delete_experiment, experiment_id)
    setup.owns_root = location is None
    return setup.client.get_experiment(experiment_id)


def _write(setup: Setup, experiment: "Experiment") -> None:
    client, experiment_id = setup.client, experiment.experiment_id
    if is_server(setup.uri) or is_database(setup.uri):
        client.set_experiment_tag(experiment_id, MARK, setup.name)
        what = f"the tag {MARK} of the experiment '{experiment.name}'"
        setup.remove_later(what, client.delete_experiment_tag, experiment_id, MARK)
        setup.artifact_root = experiment.artifact_location
        return
    run = client.create_run(experiment_id, run_name=setup.name)
    setup.remove_later(f"the run {run.info.run_id}", client.delete_run, run.info.run_id)
    setup.artifact_root = str(run.info.artifact_uri)


_NOT_TAKEN = "{store} does not take files ({reason})"

# By the scheme of the artifact root, and the words of the library that writes there.
_NO_FILES: list[Case] = [
    (": No module named", "{store} needs a library ({reason})", "Install it: `uv add {module}`."),
    ("^(file)?: ", _NOT_TAKEN, "Let this user write into that folder."),
    ("^mlflow-artifacts: .*403", "the server does not let us write files", _ASK_FOR_EDIT),
    ("^mlflow-artifacts: ", _NOT_TAKEN, "Let the server write where it keeps files: see its log."),
    ("", _NOT_TAKEN, "Check its variables: .env.example lists them."),
]


def artifacts(setup: Setup) -> Finding:
    """Write a small file beside those of the runs, list it, read it, compare it, remove it."""
    root = setup.artifact_root
    if misplaced := judge_location(root, setup.uri):
        return misplaced
    scheme, store = urlsplit(root).scheme, _name_of_store(root)
    try:
        if lost := _round_trip(setup, root):
            return failed(f"{store} {lost}", "Ask who runs it.")
    except Exception as error:
        reason, module = one_line(error), getattr(error, "name", "")
        text = f"{scheme}: {reason}"
        return first_of(_NO_FILES, text, store=store, reason=reason, module=module)
    return ok(f"{store}: written, listed, read and compared")


def judge_location(root: str, uri: str) -> Finding | None:
    """Judge where the experiment keeps its files by the address; none if nothing is wrong."""
    if urlsplit(root).scheme not in ("", "file"):
        return None
    if is_server(uri) and not is_this_machine(urlsplit(uri).hostname or ""):
        message = "the server names a folder of its own machine, which this one cannot write"
        remedy = "Start the server with --artifacts-destination, and use a new experiment."
        return failed(message, remedy)
    if vanished(root):
        remedy = "Move the project back there, or give tracking.experiment.name another name."
        return failed(f"the folder of the experiment is gone: {root}", remedy)
    return None


def _name_of_store(root: str) -> str:
    parts = urlsplit(root)
    names = {"": "the folder", "file": "the folder", "mlflow-artifacts": "the server's store"}
    return names.get(parts.scheme) or f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _round_trip(setup: Setup, root: str) -> str:
    """Return what goes wrong without an error; empty if nothing does."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(root, tracking_uri=setup.uri)
    content = uuid4().hex
    with TemporaryDirectory() as folder:
        file = Path(folder) / "written-by-kedro-mlflow-doctor.txt"
        file.write_text(content, encoding="utf-8")
        path = f"{setup.folder}/artifacts"  # As in a run's folder: with the permissions of runs.
        repository.log_artifact(str(file), path)
        created = None if setup.owns_root else setup.folder
        what = f"the folder {setup.folder} at {root}"
        setup.remove_later(what, repository.delete_artifacts, created)
        listed = [Path(found.path).name for found in repository.list_artifacts(path)]
        if file.name not in listed:
            return "does not list what was written"
        back = Path(folder) / "back"
        back.mkdir()
        read = Path(repository.download_artifacts(f"{path}/{file.name}", str(back)))
        if read.read_text(encoding="utf-8") != content:
            return "returns something other than was written"
    return ""


def registry(setup: Setup) -> Finding:
    """Write to the project's registered model, or to another one while there is none."""
    from mlflow.exceptions import MlflowException

    assert setup.config.model is not None
    client, name = setup.client, setup.config.model.name
    try:
        if if_exists(client.get_registered_model, name) is None:
            another = f"{name}_{setup.name}".replace("-", "_")
            client.create_registered_model(another)
            what = f"the registered model {another}"
            setup.remove_later(what, client.delete_registered_model, another)
            return ok(f"'{name}' {_NO_RUN_YET}; tried with another one")
        client.set_registered_model_tag(name, MARK, setup.name)
        what = f"the tag {MARK} of the registered model '{name}'"
        setup.remove_later(what, client.delete_registered_model_tag, name, MARK)
    except MlflowException as error:
        values = {"server": "registry", "name": name, "reason": one_line(error)}
        return first_of(_NOT_WRITABLE, error.error_code, **values)
    return ok(f"'{name}' can be written")


def journal(state: State, config: KedroMlflowConfig) -> Finding:
    """Count the runs that wait on disk."""
    folders = [path.parent for path in sorted(state.journals.glob("*/run.json"))]
    waiting = [folder.name for folder in folders if not _is_running(folder)]
    if not waiting:
        return ok(f"no run waits, {len(folders)} under way" if folders else "no run waits")
    runs = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
    return warning(f"{runs} for delivery, from {waiting[0]} on", f"Run `{config.typed('sync')}`.")


def _is_running(folder: Path) -> bool:
    try:
        with FileLock(folder / "lock") as taken:
            return not taken
    except OSError:  # A disk that is read-only: no run writes there.
        return False


def refused(state: State, config: KedroMlflowConfig) -> Finding:
    """Count the runs of which MLflow has rejected something."""
    runs = sorted(path.name for path in state.refused.glob("*"))
    if not runs:
        return ok("nothing")
    remedy = (
        f"{state.folder.name}/{state.refused.name}/ says what, and why. "
        f"`{config.typed('sync --refused')}` tries again, "
        f"`{config.typed(f'sync --give-up {runs[0]}')}` deletes it."
    )
    return warning(f"records of {len(runs)} {'run' if len(runs) == 1 else 'runs'}", remedy)
