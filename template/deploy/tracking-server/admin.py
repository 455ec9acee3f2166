"""What the tracking server's administrator does: `python admin.py --help`.

Runs where the server runs, with its variables: in its container, or by `kedro mlflow server`. It
opens the database and the store themselves, so it needs no user's password, and no server.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from getpass import getpass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import backup as copies
import click
import start
from mlflow import __version__ as mlflow_version
from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from sqlalchemy import Engine

_MANIFEST = "backup.json"
_KINDS = ("runs", "users")
_FILES = "files"
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DAY, _WEEK = _SECONDS["d"], 7 * _SECONDS["d"]
_LOGGED_MODEL = re.compile(r"\bm-[0-9a-f]{32}\b")

_backups = click.option(
    "--folder",
    envvar="MLFLOW_BACKUPS",
    default="backups",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where backups are. [variable: MLFLOW_BACKUPS]",
)
_keep = click.option(
    "--keep",
    envvar="MLFLOW_BACKUPS_KEEP",
    type=click.IntRange(min=1),
    help="Delete older backups than so many. [variable: MLFLOW_BACKUPS_KEEP]",
)
_files = click.option(
    "--files/--no-files",
    envvar="MLFLOW_BACKUP_FILES",
    default=True,
    help="Copy the files too, or leave them to their store. [variable: MLFLOW_BACKUP_FILES]",
)


def _is_age(_: click.Context, __: click.Parameter, age: str) -> str:
    """Check an age before anything is done: a backup, for one."""
    milliseconds(age)
    return age


_age = click.option(
    "--older-than",
    envvar="MLFLOW_GC_OLDER_THAN",
    default="30d",
    show_default=True,
    callback=_is_age,
    help="Age since the deletion, as in 30d or 12h. [variable: MLFLOW_GC_OLDER_THAN]",
)


@click.group()
def cli() -> None:
    """Administrate the tracking server: backups, deleted runs, users."""


@cli.command("backup")
@_backups
@_keep
@_files
def back_up(folder: Path, keep: int | None, files: bool) -> None:
    """Copy the databases and the files into a new folder; the server may run."""
    name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    partial = folder / f".{name}"
    partial.mkdir(mode=0o700, parents=True)
    try:
        engines = databases()
        if copies.RUNS not in copies.revisions(engines["runs"]):
            raise copies.BackupError(
                "The database of MLFLOW_BACKEND_STORE_URI has no tables of MLflow, which the first "
                "start of the server makes: is this its address?"
            )
        content: dict[str, Any] = {"mlflow": mlflow_version, "made": name, "revisions": {}}
        for kind, engine in engines.items():
            content["revisions"] |= copies.revisions(engine)
            content[kind] = copies.dump(engine, partial / f"{kind}.jsonl.gz")
        if files:
            copies.save_files(variable("MLFLOW_ARTIFACTS_DESTINATION"), partial / _FILES)
            content[_FILES] = copies.size_of(partial / _FILES)
        (partial / _MANIFEST).write_text(json.dumps(content, indent=2), encoding="utf-8")
        partial.rename(folder / name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    click.echo(f"{folder / name}: {describe(content)}.")
    for old in backups_in(folder)[: -keep if keep else 0]:
        shutil.rmtree(old)
        click.echo(f"{old} is deleted: {keep} are kept.")
    for old in folder.glob(".[0-9]*Z"):
        if time.time() - old.stat().st_mtime > _WEEK:
            shutil.rmtree(old)
            click.echo(f"{old} is deleted: what made it was killed a week ago or longer.")


@cli.command()
@click.argument("backup", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Delete the runs that are in the database now.")
def restore(backup: Path, replace: bool) -> None:
    """Bring a backup back into an empty database and store; stop the server first."""
    content = checked(backup)
    if not content["revisions"].items() <= revisions_of_mlflow().items():
        raise copies.BackupError(
            f"The backup is of a database of MLflow {content['mlflow']}, and this is MLflow "
            f"{mlflow_version}: restore with that version, and upgrade afterwards."
        )
    if copies.holds_runs(databases()["runs"]) and not replace:
        raise copies.BackupError(
            "The database holds runs already: restore into an empty one, or say --replace."
        )
    has_users = copies.USERS in content["revisions"]
    prepare(has_users)
    engines = databases()
    kinds = [kind for kind in _KINDS if kind in content]
    if has_users and ("users" in content) != ("users" in engines):
        where = (
            "in a database of their own, as with SQLite and MySQL"
            if "users" in content
            else "beside the runs, as with PostgreSQL"
        )
        raise copies.BackupError(
            f"The backup has its users {where}: restore it into a server that keeps them there."
        )
    if _FILES in content:
        copies.restore_files(backup / _FILES, variable("MLFLOW_ARTIFACTS_DESTINATION"))
    for kind in kinds:
        for table in copies.load(engines[kind], backup / f"{kind}.jsonl.gz"):
            click.echo(f"The table {table} is not MLflow's: it is left out.")
    click.echo(f"{backup} is restored: {describe(content)}.")


def checked(backup: Path) -> dict[str, Any]:
    """Return what a backup holds, once all of it has been read: nothing is written before that."""
    try:
        content: dict[str, Any] = json.loads((backup / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise copies.BackupError(f"{backup} is no backup: it has no {_MANIFEST}.") from error
    for kind in _KINDS:
        if kind in content:
            copies.check(backup / f"{kind}.jsonl.gz", content[kind])
    if _FILES in content and copies.size_of(backup / _FILES) != content[_FILES]:
        raise copies.BackupError(f"{backup} does not hold all of its files: take another backup.")
    return content


def revisions_of_mlflow() -> dict[str, str | None]:
    """Read how far this MLflow migrates its tables, and those of its users."""
    from alembic.script import ScriptDirectory
    from mlflow.server.auth.db.utils import _get_alembic_config
    from mlflow.store.db.utils import _get_latest_schema_revision

    users = ScriptDirectory.from_config(_get_alembic_config(""))
    return {copies.RUNS: _get_latest_schema_revision(), copies.USERS: users.get_current_head()}


def describe(content: dict[str, Any]) -> str:
    """Say in words what a backup holds."""
    rows = sum(content.get(kind, 0) for kind in _KINDS)
    if _FILES not in content:
        return f"{rows} rows, without the files of the store"
    return f"{rows} rows, {content[_FILES]['files']} files of {content[_FILES]['bytes']} bytes"


def backups_in(folder: Path) -> list[Path]:
    """List the whole backups of a folder, the newest last."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{_MANIFEST}"))


@cli.command()
@_age
@click.option("--yes", is_flag=True, help="Delete them. Without it they are only listed.")
def gc(older_than: str, yes: bool) -> None:
    """Delete for good what users have deleted: runs, models, experiments, with their files.

    Without --yes it only lists them. What a registered version was made of stays.
    """
    from mlflow.cli import _gc_tracking_resources

    store = run_store()
    found = deleted(store, milliseconds(older_than))
    for kind, names in found.items():
        for name in names:
            click.echo(f"{kind} {name}")
    count = sum(map(len, found.values()))
    if not count:
        click.echo(f"Nothing was deleted more than {older_than} ago.")
    elif not yes:
        click.echo(f"{count} in all. Nothing is gone yet: --yes deletes them for good.")
    else:
        reach_files(variable("MLFLOW_ARTIFACTS_DESTINATION"))
        for model in {*found["model"]}.difference(store._get_deleted_logged_models()):
            store.delete_logged_model(model)
        _gc_tracking_resources(
            store,
            run_ids=found["run"],
            experiment_ids=found["experiment"],
            logged_model_ids=found["model"],
            older_than=None,
            time_delta=0,
            # With an empty list it would take all that there are.
            skip_experiments=not found["experiment"],
            skip_logged_models=not found["model"],
        )


def deleted(store: Any, age: int) -> dict[str, list[str]]:
    """Find what was deleted so many milliseconds ago, and is part of no registered version."""
    from sqlalchemy import text

    def ask(question: str) -> Iterator[tuple[str, ...]]:
        with store.engine.connect() as connection:
            for row in connection.execute(text(question), {"before": time.time() * 1000 - age}):
                yield tuple(str(value) for value in row)

    versions = [
        *ask(
            "select run_id, source, storage_location from model_versions "
            "where current_stage <> 'Deleted_Internal'"
        )
    ]
    needed = {name for run, *places in versions for name in (run, *_named(*places))}
    runs = [run for run in store._get_deleted_runs(older_than=age) if run not in needed]
    models = [
        model for model in store._get_deleted_logged_models(older_than=age) if model not in needed
    ]
    # With an experiment go all of its runs and models: each of them must be one that may.
    of_runs = [*ask("select experiment_id, run_uuid from runs")]
    of_models = [*ask("select experiment_id, model_id from logged_models")]
    goes = {*runs}
    kept = {experiment for experiment, run in of_runs if run not in goes}
    kept |= {experiment for experiment, model in of_models if model in needed}
    of_experiments = ask(
        "select experiment_id from experiments "
        "where lifecycle_stage = 'deleted' and last_update_time <= :before"
    )
    experiments = dict.fromkeys(name for (name,) in of_experiments if name not in kept)
    models += [model for experiment, model in of_models if experiment in experiments]
    return {"run": runs, "model": [*dict.fromkeys(models)], "experiment": [*experiments]}


def _named(*places: str) -> set[str]:
    """Find the runs and logged models in the addresses of a version's files."""
    return {name for place in places for name in [*_LOGGED_MODEL.findall(place), *place.split("/")]}


def reach_files(store: str) -> None:
    """Let MLflow find files of the server in the store itself: no server is asked."""
    from urllib.parse import urlparse

    from mlflow.store.artifact import artifact_repository_registry as registry

    def direct(uri: str, **_: Any) -> Any:
        path = urlparse(uri).path.lstrip("/")
        return registry.get_artifact_repository(f"{store.rstrip('/')}/{path}")

    registry._artifact_repository_registry.register("mlflow-artifacts", direct)


def milliseconds(age: str) -> int:
    """Read an age: a number and s, m, h or d."""
    if not (match := re.fullmatch(r"(\d+)([smhd])", age)):
        raise click.BadParameter(f"{age} is no age: write it as in 30d, 12h or 5m.")
    return int(match[1]) * _SECONDS[match[2]] * 1000


@cli.command()
@_backups
@_keep
@_files
@_age
@click.option("--once", is_flag=True, help="Do it now, and end: for a scheduler of your own.")
@click.pass_context
def nightly(context: click.Context, once: bool, older_than: str, **options: Any) -> None:
    """Back up, and delete for good what is due: every day, until stopped."""
    while True:
        if once or not is_fresh(options["folder"], _DAY):
            with sentences(leave=once):
                # In this order: what is not backed up is not deleted.
                context.invoke(back_up, **options)
                context.invoke(gc, older_than=older_than, yes=True)
        if once:
            return
        time.sleep(600)


@cli.command()
@_backups
def healthy(folder: Path) -> None:
    """Fail unless there is a backup of the last 26 hours."""
    if not is_fresh(folder, _DAY + 2 * _SECONDS["h"]):
        raise copies.BackupError(f"{folder} has no backup of the last 26 hours.")


def is_fresh(folder: Path, seconds: float) -> bool:
    """Return whether the newest backup is younger than so many seconds."""
    newest = [path.stat().st_mtime for path in backups_in(folder)[-1:]]
    return bool(newest) and time.time() - newest[0] < seconds


@cli.group()
def users() -> None:
    """List, add and remove users, change passwords, and say who may do what.

    A password is asked for, or read from standard input: never an argument, which other users of
    the machine see. The server knows a change after a minute.
    """


@users.command("list")
def list_users() -> None:
    """List the users, and what each may do beyond reading."""
    store, runs = user_store(), run_store()
    for user in sorted(store.list_users(), key=lambda user: user.username):
        grants = [
            f"{grant.permission} on {grant.resource_type} {title_of(grant, runs)}"
            for role in store.list_user_roles(user.id)
            for grant in role.permissions
        ]
        click.echo(f"{user.username}: {'admin' if user.is_admin else ', '.join(grants) or 'reads'}")


def title_of(grant: Any, runs: Any) -> str:
    """Return the name of what is granted; of an experiment that is gone for good, its id."""
    with suppress(MlflowException):
        if grant.resource_type == "experiment":
            return str(runs.get_experiment(grant.resource_pattern).name)
    return str(grant.resource_pattern)


@users.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Let this user do everything.")
def add(name: str, admin: bool) -> None:
    """Add a user."""
    if ":" in name:
        raise click.UsageError("A user's name has no colon: a sign-in ends it there.")
    user_store().create_user(name, new_password(), is_admin=admin)
    click.echo(f"{name} is added.")


@users.command()
@click.argument("name")
def password(name: str) -> None:
    """Change a user's password."""
    store = user_store()
    store.get_user(name)
    store.update_user(name, new_password())
    click.echo(f"The password of {name} is changed.")


@users.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a user; what this user has made stays."""
    user_store().delete_user(name)
    click.echo(f"{name} is removed.")


@users.command()
@click.argument("name")
@click.argument("permission", type=click.Choice(["READ", "USE", "EDIT", "MANAGE", "DENY", "none"]))
@click.option("--experiment", help="Name of an experiment.")
@click.option("--model", help="Name of a registered model.")
def grant(name: str, permission: str, experiment: str | None, model: str | None) -> None:
    """Say what a user may do with an experiment, with a model; `none` takes it back.

    EDIT on a model is the permission to decide what its servers run.
    """
    if not experiment and not model:
        raise click.UsageError("Name an --experiment, a --model, or both.")
    wanted = [("registered_model", model, require_model(model))] if model else []
    if experiment:
        wanted.append(("experiment", experiment, experiment_id(experiment)))
    store = user_store()
    store.get_user(name)
    for kind, title, pattern in wanted:
        if permission == "none":
            store.revoke_user_resource_permission(name, kind, pattern)
        else:
            store.grant_user_permission(name, kind, pattern, permission)
        click.echo(f"{name}: {permission} on {kind} {title}.")


def user_store() -> Any:
    """Open the users; a database that has none yet gets its tables."""
    prepare()
    from mlflow.server import auth

    return auth.store


def new_password() -> str:
    """Ask for a password twice; from a pipe, read its first line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    word = getpass("Password: ")
    if getpass("Again: ") != word:
        raise click.UsageError("The two are not the same.")
    return word


def experiment_id(name: str) -> str:
    """Return the id of an experiment."""
    if (experiment := run_store().get_experiment_by_name(name)) is None:
        raise MlflowException(f"There is no experiment {name}.")
    return str(experiment.experiment_id)


def run_store() -> Any:
    """Open the runs."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = variable("MLFLOW_BACKEND_STORE_URI")
    databases()  # It says at once what MLflow would try for an hour.
    return SqlAlchemyStore(uri, "mlflow-artifacts:/")


def require_model(name: str) -> str:
    """Return the name of a registered model that there is."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    databases()
    SqlAlchemyStore(variable("MLFLOW_BACKEND_STORE_URI")).get_registered_model(name)
    return name


def variable(name: str) -> str:
    """Read one of the server's variables."""
    if not (value := os.environ.get(name)):
        raise start.RefusalError(f"{name} is not set: {start.NEEDED[name]}.")
    return value


def prepare(users: bool = True) -> None:
    """Make or migrate the tables of both databases, and the first user, as the server's start."""
    with TemporaryDirectory() as folder:
        database = start.migrate(variable("MLFLOW_BACKEND_STORE_URI"))
        if users:
            start.prepare_users(database, Path(folder) / "basic_auth.ini")


def databases() -> "dict[str, Engine]":
    """Open the database of the runs, and that of the users unless it is the same, or not there."""
    from sqlalchemy.engine import make_url

    name = "MLFLOW_BACKEND_STORE_URI"
    engines = {"runs": start.open_database(variable(name), name)}
    runs = engines["runs"].url
    users = make_url(start.users_uri(runs))
    is_file = users.get_backend_name() == "sqlite"
    is_there = not is_file or Path(users.database or "").is_file()
    if is_there and users._replace(password=None) != runs._replace(password=None):
        uri = users.render_as_string(hide_password=False)
        engines["users"] = start.open_database(uri, start.USERS)
    return engines


@contextmanager
def sentences(leave: bool = True) -> Iterator[None]:
    """Say in a sentence why something cannot be done, and end, or continue.

    What a database or a store answers may hold a password: only the first line of it is shown.
    """
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:  # Each driver and each store has errors of its own.
        reason = next(iter(str(error).strip().splitlines()), "")
        if not isinstance(error, start.RefusalError | copies.BackupError | MlflowException):
            reason = f"{type(error).__name__}: {reason}"
        if leave:
            sys.exit(reason)
        click.echo(reason, err=True)


def main(words: Sequence[str] | None = None) -> None:
    """Run a command; files and folders that it makes are this user's alone."""
    os.umask(0o077)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    with sentences():
        cli(words, prog_name="admin.py")


if __name__ == "__main__":
    # As after Ctrl-C: a backup that is stopped leaves nothing.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
