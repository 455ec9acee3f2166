"""Proof by canary: what the environment and runtime parameters hold as secrets stays there."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGTERM

import pytest
import yaml

from tests.support.answers import REPOSITORY
from tests.support.canary import leaky, traces
from tests.support.forked_kedro import Forked
from tests.support.little import little
from tests.support.machine import free_port
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, answers_at, tracking_server
from tests.support.proxy import Proxy, basic_auth, proxy_of

PARAMS = ("--params", "db.password=CANARYCANARY-params,db.port=7")


# Variables that say where something is, or its name: they stand in tags and links, user and
# password aside.
PLACES = {
    "DATABRICKS_HOST",
    "DATABRICKS_MODEL_SCHEMA",
    "KEDRO_ENV",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "MODEL_ALIAS",
}


def canaries(address: str) -> dict[str, str]:
    """A distinctive value for each variable of .env.example, of whichever preset."""
    example = (REPOSITORY / "template/.env.example.jinja").read_text(encoding="utf-8")
    names = set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=$", example, re.MULTILINE))
    assert names > PLACES
    values = {name: f"CANARYCANARY-{name}" for name in names - PLACES}
    return values | {"MLFLOW_TRACKING_URI": with_password(address)}


def with_password(address: str) -> str:
    return address.replace("://", "://CANARYCANARY-user:CANARYCANARY-password@")


def write_dotenv(project: Project, address: str) -> None:
    lines = [f"{name}={value}\n" for name, value in canaries(address).items()]
    project.write(".env", "".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server keeps."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(rendered: Project, folder: Path) -> Iterator[Proxy]:
    """A real tracking server, behind a door that asks for the password."""
    guard = basic_auth("CANARYCANARY-user", "CANARYCANARY-password")
    with tracking_server(rendered, folder) as url, proxy_of(url, guard) as proxy:
        yield proxy


# A node that works with what it should not tell, and tells it in every form.
LOGIN = """

class LoginError(Exception):
    def __str__(self) -> str:
        return f"Cannot log in with {os.environ['SALES_API_KEY']}"


def group(message: str, errors: list[Exception]) -> Exception:
    if sys.version_info < (3, 11):
        return Exception(message, errors)
    return ExceptionGroup(message, errors)


def forms(secret: str) -> list[str]:
    encoded = base64.b64encode(f"eve:{secret}".encode()).decode()
    return [secret, quote(secret, safe=""), encoded, repr(secret), *secret.splitlines()]


def login(database: dict[str, Any]) -> str:
    stored = yaml.safe_load(pathlib.Path("conf/local/credentials.yml").read_text())
    known = [os.environ["SALES_API_KEY"], stored["crm"]["login"], database["ssh_key"]]
    known += [database["password"], *database["tokens"], os.environ["MLFLOW_TRACKING_URI"]]
    fresh = "".join(["CAN", "ARY"] * 2)
    placed = [f"https://host/x?access_token={fresh}", f"postgresql://eve:a/{fresh}@b@db/x"]
    placed += [f"jdbc:sqlserver://db;password={fresh};", f"--password {fresh}-1", {"token": fresh}]
    told = [form for secret in known for form in forms(secret)] + placed
    command = ["login", "--password", fresh, known[1]]
    errors = [
        ValueError({"token": fresh, "deep": [{"password": known[1]}]}, placed, 7),
        subprocess.CalledProcessError(1, command, known[0].encode(), placed[1]),
        OSError(5, f"no {known[3]}", placed[0]),
        LoginError(),
    ]
    error = group(f"Cannot log in with {known[0]}", errors)
    error.__notes__ = [f"with {told}"]
    error.__cause__ = KeyError(known[2])
    if os.environ.get("REFUSE") == "group":
        raise error
    if os.environ.get("REFUSE"):
        raise PermissionError(f"Cannot log in with {told}") from error
    for secret in told:
        logging.getLogger(__name__).warning("Logged in with %s", secret)
    logging.getLogger(__name__).warning("But: %s", error, exc_info=error)
    return "done"
"""
IMPORTS = ["base64", "logging", "os", "pathlib", "subprocess", "sys"]
KEY = "-----BEGIN KEY-----\nCANARYCANARY-1/a+b\nCANARYCANARY-2/c+d\n-----END KEY-----"


@pytest.fixture
def secretive(project: Project) -> Project:
    """A project with a node that logs in somewhere before all others, and what it needs for it."""
    little(project)
    module = f"src/{PACKAGE}/pipelines/training/pipeline.py"
    imports = "".join(f"import {name}\n" for name in IMPORTS)
    imports += "from typing import Any\nfrom urllib.parse import quote\nimport yaml\n"
    project.write(module, f"{imports}{project.read(module)}{LOGIN}")
    login = '        node(login, "params:db", "logged_in", name="login"),\n'
    project.edit(module, "        node(fit,", f"{login}        node(fit,")
    server = "${oc.env:MLFLOW_TRACKING_URI}"
    project.edit("conf/base/mlflow.yml", "sqlite:///mlflow.db", server)
    config = project.read("conf/base/mlflow.yml")
    deadline = "shipping: {deadline: '${oc.env:DEADLINE,60}'}\n"
    project.write("conf/base/mlflow.yml", f"{config}{deadline}")
    address = "postgresql://eve:CANARYCANARY/1@b#c@db/x"
    database = {"ssh_key": KEY, "signing_key": "CANARYCANARY", "tokens": ["CANARYCANARY-t/1"]}
    database |= {"primary_key": "id", "url": address, "jdbc": f"jdbc:x;password={KEY[20:32]};"}
    project.write("conf/base/parameters_db.yml", yaml.safe_dump({"db": database}))
    crm = {"crm": {"login": "CANARYCANARY-crm", "user": "eve"}}
    project.write("conf/local/credentials.yml", yaml.safe_dump(crm))
    entry = {
        "type": "pandas.CSVDataset",
        "filepath": "x.csv",
        "load_args": {"sep": ",", "url": address},
    }
    project.write(
        "conf/base/catalog_crm.yml", yaml.safe_dump({"crm": entry | {"credentials": "crm"}})
    )
    return project


@pytest.fixture
def guarded(secretive: Project, server: Proxy) -> Project:
    """The same, and its secrets in .env."""
    write_dotenv(secretive, server.url)
    return secretive


def run(
    project: Project, *command: str, code: int = 0, until: str | None = None, **variables: str
) -> str:
    """Run a command to its end; its screen, and the command lines of all that it has started.

    One that goes on for ever is stopped once the address `until` answers.
    """
    variables |= {"SALES_API_KEY": "CANARYCANARY-key"}
    process = project.fork(*command, env=variables)
    with command_lines(process) as seen:
        if until:
            while not answers_at(until):
                assert process.poll() is None
                time.sleep(0.5)
            os.killpg(process.pid, SIGTERM)
        out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    # What its user has typed, and so has every process that was forked from it, is the user's.
    ours = [line for line in seen if not line.endswith("\0".join(command[1:]) + "\0")]
    return "\n".join([out, err, *ours])


@contextmanager
def command_lines(process: Forked) -> Iterator[set[str]]:
    """The command lines, over time, of all processes in a process's session."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for stat in Path("/proc").glob("[0-9]*/stat"):
                with suppress(OSError):
                    if int(stat.read_text().rpartition(")")[2].split()[3]) == process.pid:
                        seen.add(stat.with_name("cmdline").read_text())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def test_a_run_and_its_served_model_leave_no_trace_of_a_secret(
    guarded: Project, folder: Path
) -> None:
    screen = run(guarded, "kedro", "run", *PARAMS)
    assert f"registered {PACKAGE}" in " ".join(screen.split())
    assert not leaky(screen)
    port = free_port()
    ping = f"http://127.0.0.1:{port}/ping"
    screen = run(guarded, "kedro", "mlflow", "serve", "--port", str(port), until=ping)
    assert f"Serving {PACKAGE}" in screen
    assert not leaky(screen)
    assert not traces(guarded.folder, folder)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=weekly)])
def test_nor_do_worker_processes(guarded: Project, folder: Path, start: str) -> None:
    screen = run(
        guarded, "kedro", "run", "--runner", "ParallelRunner", *PARAMS, KEDRO_MP_CONTEXT=start
    )
    assert not leaky(screen)
    assert not traces(guarded.folder, folder)


@pytest.mark.parametrize(
    ("runner", "how", "error"),
    [("SequentialRunner", "group", "Exception"), ("ParallelRunner", "one", "PermissionError")],
)
def test_an_error_that_speaks_of_secrets_leaves_no_trace_of_them(
    guarded: Project, folder: Path, runner: str, how: str, error: str
) -> None:
    screen = run(guarded, "kedro", "run", "--runner", runner, *PARAMS, code=1, REFUSE=how)
    assert not leaky(screen)
    assert re.search(rf"{error}\w*: Cannot log in with", screen)
    assert not traces(guarded.folder, folder)


def test_a_run_without_its_server_leaves_no_trace_of_a_secret(
    secretive: Project, server: Proxy, folder: Path
) -> None:
    project = secretive
    write_dotenv(project, f"http://127.0.0.1:{free_port()}")
    screen = run(project, "kedro", "run", *PARAMS, DEADLINE="0.1")
    assert "kedro mlflow sync" in " ".join(screen.split())
    assert any((project.folder / ".kedro_mlflow" / "journal").iterdir())
    screen += run(project, "kedro", "mlflow", "sync", code=1, DEADLINE="0.1")
    write_dotenv(project, server.url)
    screen += run(project, "kedro", "mlflow", "sync")
    assert not leaky(screen)
    assert not traces(project.folder, folder)
