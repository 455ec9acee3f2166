"""Runs programs of an environment, each in a fork of this process, which has imported libraries.

Started by forked_kedro.py with the project's own Python: what runs in a fork is as real as from the
shell, and takes a second instead of several. One JSON object a line comes in and one goes out:

    {"start": {"command", "cwd", "env", "out", "err"}}  ->  {"pid"}
    {"poll": pid}                                       ->  {"code"}, null while it runs
"""

import atexit
import gc
import importlib
import json
import logging
import mimetypes
import os
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TextIO

# What runs of a rendered project import, as far as the environment has it. Nothing of a project.
LIBRARIES = [
    "skops.io",  # First: it looks for each function of NumPy in all modules that are loaded.
    *("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store"),
    *("mlflow.pyfunc", "mlflow.sklearn", "pandas", "pandera.pandas"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "matplotlib.pyplot"),
    *("kedro.framework.cli.cli", "kedro.framework.session", "kedro.framework.session.store"),
    *("kedro.config", "kedro.framework.context", "kedro.runner", "kedro.validation"),
    *("kedro.framework.cli.jupyter", "kedro.framework.cli.pipeline", "kedro.framework.cli.project"),
    *("kedro.framework.cli.server", "kedro_telemetry.plugin", "rich.logging", "tomli_w"),
    *("kedro_datasets.json", "kedro_datasets.matplotlib", "kedro_datasets.pandas"),
    *("mlflow.store.model_registry.sqlalchemy_workspace_store", "mlflow.tracing.processor.otel"),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "pyarrow.pandas_compat"),
    *("narwhals._pandas_like.dataframe", "pandera.typing.dask", "pandera.typing.pyspark"),
    *("narwhals._pandas_like.namespace", "fsspec.implementations.local", "kedro.logging", "git"),
    *("kedro_datasets.pickle.pickle_dataset", "mlflow.tracing.export.utils", "rich._emoji_codes"),
    *("mlflow.utils.search_logged_model_utils", "pandas.core.methods.to_dict", "filecmp"),
]
# What a service's clients import: from the first command on that is given this variable.
OF_SERVICES = {
    "DATABRICKS_HOST": ["databricks.sdk", "mlflow.deployments.databricks"],
    "AWS_ACCESS_KEY_ID": ["boto3.session", "mlflow.sagemaker"],
    "AZURE_STORAGE_CONNECTION_STRING": ["azure.storage.blob"],
}


def main() -> None:
    sys.path.pop(0)  # The folder of this file.
    gc.disable()  # It would look at what stays, each time that this has grown by a quarter.
    load(LIBRARIES)
    warm_up()
    gc.enable()
    answer_all(sys.stdin, sys.stdout)


def answer_all(questions: TextIO, answers: TextIO) -> None:
    for line in questions:
        asked = json.loads(line)
        answer = (
            {"code": poll(asked["poll"])} if "poll" in asked else {"pid": start(asked["start"])}
        )
        print(json.dumps(answer), file=answers, flush=True)


def load(names: list[str]) -> None:
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)


def warm_up() -> None:
    """Do once what each fork would do again, where it changes nothing but the time it takes."""
    remember_packages()
    mimetypes.init()
    with suppress(ImportError):
        from dynaconf.loaders import py_loader  # type: ignore[import-untyped]
        from dynaconf.utils import files  # type: ignore[import-untyped]

        # dynaconf asks for the files of its callers, and `inspect` looks for each in all modules.
        vars(files)["inspect"] = vars(py_loader)["inspect"] = SimpleNamespace(stack=callers)
    with suppress(ImportError):
        print_and_parse()
    with suppress(ImportError):
        draw()
    with suppress(ImportError):
        from mlflow.utils import process
        from mlflow.utils.requirements_utils import _init_modules_to_packages_map
        from sqlalchemy.orm import configure_mappers

        _init_modules_to_packages_map()
        configure_mappers()
        vars(process)["_exec_cmd"] = partial(serve, process._exec_cmd)
        wait_for_no_disk()
        remember_tables()
    hash_quickly()
    # What is loaded stays: no fork's collector has to look at it.
    gc.collect()
    gc.freeze()
    count = gc.get_freeze_count()
    vars(gc)["get_freeze_count"] = lambda: count  # Counting a million takes each run 0.05 s.


def hash_quickly() -> None:
    """Let MLflow hash passwords in no time: its own hash takes a tenth of a second on purpose."""
    with suppress(ImportError):
        from werkzeug.security import generate_password_hash

        generate_password_hash.__defaults__ = ("pbkdf2:sha256:1", 16)


def remember_packages() -> None:
    """Let what the environment's packages say of themselves be read once."""

    def remember(read: Callable[[Any], Any]) -> property:
        known: dict[object, Any] = {}

        def found(package: Any) -> Any:
            if package._path not in known:
                known[package._path] = read(package)
            return known[package._path]

        return property(found)

    for name in ("importlib.metadata", "importlib_metadata"):
        with suppress(ImportError):
            module = importlib.import_module(name)
            for each in ("entry_points", "metadata"):
                read = getattr(module.Distribution, each).fget
                setattr(module.PathDistribution, each, remember(read))
                for package in module.distributions():
                    getattr(package, each)


def callers() -> list[SimpleNamespace]:
    """List the callers' files, as `inspect.stack` does."""
    frames = traceback.walk_stack(sys._getframe(1))
    return [SimpleNamespace(filename=frame.f_code.co_filename) for frame, _ in frames]


def print_and_parse() -> None:
    """Let patterns be compiled, and learn a grammar, that the first use would."""
    from io import StringIO

    from omegaconf.grammar_parser import parse
    from rich.console import Console
    from rich.logging import RichHandler

    record = logging.LogRecord("name", logging.INFO, "/a.py", 1, "[bold]a[/] 1 'b' :x:", (), None)
    RichHandler(console=Console(file=StringIO()), markup=True).emit(record)
    for value in (
        "a/${b.c}/${oc.env:D}-${oc.env:E,'f://g.h'}.csv",
        "${_i}",
        "${g:j,k}",
        "${l:1.5}",
    ):
        parse(value)


def draw() -> None:
    """Load what draws and writes a picture, with its font."""
    from io import BytesIO

    from matplotlib.figure import Figure

    figure = Figure()
    figure.gca().set_title("0")
    figure.savefig(BytesIO(), format="png")


def wait_for_no_disk() -> None:
    """Let SQLite not wait until the disk has written: only a power cut would lose something."""
    from sqlalchemy import Engine, event

    def opened(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", opened)


def remember_tables() -> None:
    """Let MLflow's migrations of an empty SQLite database, which take seconds, run once.

    The environment keeps what they make.
    """
    from mlflow.store.db import utils
    from mlflow.version import VERSION
    from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect

    def made(engine: Engine) -> None:
        if engine.dialect.name != "sqlite" or inspect(engine).get_table_names():
            migrate(engine)
        else:
            with engine.connect() as connection:
                driver(connection).executescript(statements)

    def driver(connection: Connection) -> Any:
        return connection.connection.driver_connection

    head = utils._get_latest_schema_revision()  # It would run all of its migrations' files.
    vars(utils)["_get_latest_schema_revision"] = lambda: head
    migrate = utils._initialize_tables
    kept = Path(sys.prefix, f"tables-of-mlflow-{VERSION}.sql")
    if not kept.exists():
        migrate(engine := create_engine("sqlite://", poolclass=StaticPool))
        partial = kept.with_suffix(f".{os.getpid()}")
        with engine.connect() as connection:
            partial.write_text("\n".join(driver(connection).iterdump()), "utf-8")
        partial.replace(kept)
    statements = kept.read_text("utf-8")
    utils._initialize_tables = made


def serve(execute: Any, command: list[str], **options: Any) -> Any:
    """Serve in this process, and print the command by which MLflow would start another Python."""
    if "mlflow.server" not in " ".join(command):
        return execute(command, **options)
    print(*command, flush=True)
    from uvicorn.main import main

    os.environ.update(options["extra_env"])
    main(command[command.index("uvicorn") + 1 :])


def poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def start(asked: dict[str, Any]) -> int:
    for variable in OF_SERVICES.keys() & asked["env"].keys():
        load(OF_SERVICES.pop(variable))
    if child := os.fork():
        return child
    os.setsid()
    for descriptor, path in enumerate((os.devnull, asked["out"], asked["err"])):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if descriptor else os.O_RDONLY
        os.dup2(os.open(path, flags, 0o600), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.stdin = os.fdopen(0)
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    os._exit(run(*asked["command"]))


def run(program: str, *arguments: str) -> int:
    """Run a program of the environment as Python would from its start to its end."""
    code = 0
    try:
        PROGRAMS[program](arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def run_kedro(arguments: tuple[str, ...]) -> None:
    from kedro.framework import project
    from kedro.framework.cli.cli import main

    # Kedro reads the project's logging.yml when it is imported.
    project.LOGGING.__init__()  # type: ignore[misc]
    sys.argv = ["kedro", *arguments]
    main()


def run_mlflow(arguments: tuple[str, ...]) -> None:
    from mlflow import cli

    sys.argv = ["mlflow", *arguments]
    cli.cli()


def run_pytest(arguments: tuple[str, ...]) -> None:
    """Let what the tests run as `python -m kedro` be a fork of this process as it is now."""
    ours, theirs = (end.makefile("rw") for end in socket.socketpair())
    if not os.fork():
        ours.close()
        answer_all(theirs, theirs)
        os._exit(0)
    theirs.close()

    def ask(**question: object) -> Any:
        print(json.dumps(question), file=ours, flush=True)
        return json.loads(ours.readline())

    def run_forked(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[1:3] != ["-m", "kedro"]:
            return run_really(command, **options)
        with TemporaryDirectory() as folder:
            screen = [Path(folder, name) for name in ("out", "err")]
            asked = {"command": command[2:], "cwd": str(options["cwd"]), "env": {**options["env"]}}
            pid = ask(start={**asked, "out": str(screen[0]), "err": str(screen[1])})["pid"]
            while (code := ask(poll=pid)["code"]) is None:
                time.sleep(0.01)
            shown = [path.read_text("utf-8") for path in screen]
        return subprocess.CompletedProcess(command, code, *shown)

    run_really, vars(subprocess)["run"] = subprocess.run, run_forked
    run_python(("-m", "pytest", *arguments))


def run_python(arguments: tuple[str, ...]) -> None:
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        script = Path(first).resolve()
        sys.path.insert(0, str(script.parent))
        runpy.run_path(str(script), run_name="__main__")


PROGRAMS = {"kedro": run_kedro, "mlflow": run_mlflow, "pytest": run_pytest, "python": run_python}


if __name__ == "__main__":
    main()
