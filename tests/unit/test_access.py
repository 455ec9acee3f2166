"""How runs and commands get to MLflow: credentials, headers, whether it answers, which page."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from kedro.config import MissingConfigException
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider

from tests.support.answering import answering
from tests.support.machine import free_port
from tests.support.rooms import Rooms

# --- credentials ---


class Loader(dict[str, Any]):
    """A stand-in for Kedro's loader of a project without credentials.yml."""

    def __missing__(self, key: str) -> Any:
        raise MissingConfigException("no file")


def context_with(**content: Any) -> Any:
    return SimpleNamespace(config_loader=Loader(content), env=None)


def test_credentials_are_variables_of_an_entry(mlops: Rooms) -> None:
    read = mlops("backend.access").credentials
    context = context_with(credentials={"server": {"MLFLOW_TRACKING_TOKEN": 1}, "flat": "x"})
    assert read(context, "server") == {"MLFLOW_TRACKING_TOKEN": "1"}
    assert read(context, None) == {}


@pytest.mark.parametrize("key", ["flat", "missing", "without the file"])
def test_credentials_that_are_not_there_are_named(mlops: Rooms, key: str) -> None:
    content = {} if key == "without the file" else {"credentials": {"flat": "x"}}
    message = f"server.credentials names '{key}', and credentials.yml has no such entry"
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("backend.access").credentials(context_with(**content), key)


def test_variables_are_set_unless_they_are_and_go_again(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_BEFORE", "before")
    monkeypatch.delenv("MISSING", raising=False)
    with (
        suppress(KeyError),
        mlops("backend.access").exported({"OF_BEFORE": "new", "MISSING": "new"}),
    ):
        assert (os.environ["OF_BEFORE"], os.environ["MISSING"]) == ("before", "new")
        raise KeyError
    assert os.environ["OF_BEFORE"] == "before"
    assert "MISSING" not in os.environ


def test_variables_of_mlflow_yml_win_and_no_other_login_goes_along(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "CANARY-of-ada")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    before = dict(os.environ)
    given = {"MLFLOW_TRACKING_TOKEN": "CANARY-of-production"}
    server = mlops("config").ServerOptions(credentials=given)
    with mlops("backend.access").signed_in(context_with(), server):
        assert os.environ["MLFLOW_TRACKING_TOKEN"] == "CANARY-of-production"
        assert not {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} & os.environ.keys()
        assert "CANARY" not in mlops("redaction").mask_text("it says CANARY-of-production")
    assert dict(os.environ) == before


def test_a_command_has_access_for_good(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import ExitStack

    from kedro.framework import session

    access = mlops("backend.access")
    content = {
        "server": {
            "credentials": "server",
            "request_header_provider": {
                "type": f"{__name__}.Provider",
                "init_kwargs": {"name": "a"},
            },
        }
    }
    context = context_with(mlflow=content, credentials={"server": {"MISSING": "new"}})
    asked: list[Any] = []

    class Session:
        @staticmethod
        def create(*given: Any, **named: Any) -> Any:
            asked.append((given, named))
            return SimpleNamespace(load_context=lambda: context)

    monkeypatch.setattr(session, "KedroSession", Session)
    monkeypatch.delenv("MISSING", raising=False)
    with ExitStack() as stack:
        monkeypatch.setattr(access, "_FOR_GOOD", stack)
        config = access.project_config(tmp_path, "prod")
        assert config.server.uri == f"sqlite:///{tmp_path}/mlflow.db"
        assert (os.environ["MISSING"], sent_headers()) == ("new", "a None")
    assert asked == [((tmp_path,), {"save_on_close": False, "env": "prod"})]
    monkeypatch.setattr(access, "require_all", asked.append)
    access.project_config(tmp_path, None)
    assert asked[-1].server.credentials == "server"
    access._FOR_GOOD.close()


# --- headers ---


class Provider(RequestHeaderProvider):
    """Headers of the owner's own."""

    def __init__(self, name: str, kedro_context: Any = None) -> None:
        if name == "wrong":
            raise ValueError("no such name.\nmore")
        self._header = f"{name} {kedro_context}"

    def in_context(self) -> bool:
        return True

    def request_headers(self) -> dict[str, str]:
        return {"X-Mine": self._header}


def sent_headers() -> Any:
    from mlflow.tracking.request_header.registry import resolve_request_headers

    return resolve_request_headers().get("X-Mine")


@pytest.mark.parametrize(("pass_context", "header"), [(True, "a context"), (False, "a None")])
def test_a_class_of_the_owners_gives_headers_as_long_as_it_is_meant_to(
    mlops: Rooms, pass_context: bool, header: str
) -> None:
    options = mlops("config").RequestHeaderProviderOptions(
        type=f"{__name__}.Provider", pass_context=pass_context, init_kwargs={"name": "a"}
    )
    made = []

    def make_context() -> Any:
        made.append(1)
        return "context"

    provided = mlops("backend.access").headers_provided
    with provided(options, make_context):
        assert sent_headers() == header
    assert sent_headers() is None
    assert len(made) == pass_context
    with provided(mlops("config").RequestHeaderProviderOptions(), make_context):
        assert sent_headers() is None


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (f"{__name__}.Missing", "a", "cannot be loaded: "),
        ("pathlib.Path", "a", r"is no subclass of mlflow\..*RequestHeaderProvider\.$"),
        (f"{__name__}.sent_headers", "a", r"is no subclass of mlflow\..*RequestHeaderProvider\.$"),
        (f"{__name__}.Provider", "wrong", r"cannot be made with init_kwargs: no such name\.$"),
    ],
)
def test_what_gives_no_headers_is_refused_in_a_sentence(
    mlops: Rooms, kind: str, name: str, message: str
) -> None:
    options = mlops("config").RequestHeaderProviderOptions(type=kind, init_kwargs={"name": name})
    key = r"mlflow\.yml: server\.request_header_provider\.type: '"
    with (
        pytest.raises(mlops("errors").TrackingError, match=f"^{key}{kind}' {message}"),
        mlops("backend.access").headers_provided(options, lambda: None),
    ):
        pass


# --- whether it answers ---


@contextmanager
def answering_all(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each request alike; its address, and which paths were asked."""
    asked: list[str] = []

    class Alike(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

    with answering(Alike) as url:
        yield url.removeprefix("http://"), asked


def server_at(mlops: Rooms, uri: str) -> Any:
    return mlops("config").ServerOptions(mlflow_tracking_uri=uri)


@pytest.mark.parametrize(
    ("status", "is_there"), [(200, True), (401, True), (404, True), (500, False), (503, False)]
)
def test_a_server_is_there_unless_it_fails_itself(
    mlops: Rooms, status: int, is_there: bool
) -> None:
    client = mlops("backend.client")
    with answering_all(status) as (address, asked):
        for uri in (f"http://{address}", f"http://me:CANARY@{address}/base/"):
            assert client.is_reachable(server_at(mlops, uri)) is is_there
        if is_there:
            client.require_reachable(server_at(mlops, f"http://{address}"))
    assert asked[:2] == ["/health", "/base/health"]


@pytest.mark.parametrize("kind", ["nobody", "silent", "tls", "gibberish"])
def test_who_is_not_there_is_told_within_seconds(
    mlops: Rooms, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlops("backend.client")
    monkeypatch.setattr(client, "_SECONDS_TO_ANSWER", 0.3)
    with closing(socket.socket()) as listener:
        port = free_port()
        if kind != "nobody":
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            listener.listen()
        if kind in ("tls", "gibberish"):
            threading.Thread(target=babble, args=(listener,), daemon=True).start()
        scheme = "https" if kind == "tls" else "http"
        server = server_at(mlops, f"{scheme}://me:CANARY@127.0.0.1:{port}")
        # What answers TLS in another way is there: it may want a certificate.
        assert client.is_reachable(server) is (kind == "tls")
        if kind != "tls":
            with pytest.raises(mlops("errors").TrackingError, match=r"be reached\. Start") as no:
                client.require_reachable(server)
            assert "CANARY" not in no.value.message


def babble(listener: socket.socket) -> None:
    """Answer something that is neither HTTP nor TLS."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(1000)
            connection.sendall(b"\x00\x01gibberish\r\n\r\n")


def test_a_database_is_asked_by_opening_it(mlops: Rooms, tmp_path: Path, database: str) -> None:
    client = mlops("backend.client")
    client.require_reachable(server_at(mlops, database))
    assert not client.is_reachable(server_at(mlops, database))
    away = server_at(mlops, f"sqlite:///{tmp_path}/no/folder/mlflow.db")
    with pytest.raises(
        mlops("errors").TrackingError, match=r"\(the database does not open: unable to open"
    ):
        client.require_reachable(away)
    with pytest.raises(client.UnreachableError, match="unable to open database file"):
        client.connect(away)
    nobody = f"mysql+pymysql://me:CANARY@127.0.0.1:{free_port()}/mlflow"
    reason = mlops("backend.databases").why_closed(nobody)
    assert reason.startswith("the database does not open: Can't connect to MySQL server")
    assert "(2003" not in reason
    assert "CANARY" not in reason


@pytest.mark.parametrize("uri", ["", "sqlite:///:memory:", "sqlite://", "mysql+pymysql://host/db"])
def test_only_a_file_gets_tables_and_only_once(
    mlops: Rooms, uri: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = mlops("backend.databases")
    monkeypatch.setattr(databases, "_statements", lambda: pytest.fail("it makes tables"))
    databases.make_tables(uri or database)


def test_tables_that_another_process_makes_meanwhile_are_left_alone(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases, path = mlops("backend.databases"), tmp_path / "new.db"

    def meanwhile() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE mine (x)")
        return ["CREATE TABLE ours (x)"]

    monkeypatch.setattr(databases, "_statements", meanwhile)
    databases.make_tables(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert [*connection.execute("SELECT name FROM sqlite_master")] == [("mine",)]


# --- the client ---


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what connecting sets."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")


@pytest.mark.usefixtures("variables")
def test_a_client_asks_the_address_of_mlflow_yml_and_leaves_the_processs_alone(
    mlops: Rooms, database: str
) -> None:
    connect = mlops("backend.client").connect
    before = mlflow.get_tracking_uri()
    place = mlops("config").PlaceOptions(mlflow_tracking_uri=database, mlflow_registry_uri="uc")
    client = connect(place)
    assert (client.tracking_uri, client._registry_uri) == (database, "uc")
    assert mlflow.get_tracking_uri() == before
    # Our shipper retries; what its owner has set stays.
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    connect(server_at(mlops, f"http://127.0.0.1:{free_port()}"))
    assert "MLFLOW_TRACKING_URI" not in os.environ
    connect(server_at(mlops, "databricks"))
    assert os.environ["MLFLOW_TRACKING_URI"] == "databricks"


def test_what_is_missing_is_none_and_what_fails_is_raised(mlops: Rooms, database: str) -> None:
    client = mlops("backend.client")
    ask = mlflow.MlflowClient(database)
    assert client.if_exists(ask.get_run, "0" * 32) is None
    assert client.if_exists(ask.get_experiment, "0").name == "Default"

    def refused(*names: str) -> None:
        raise PermissionError(*names)

    with pytest.raises(PermissionError, match="a"):
        client.if_exists(refused, "a", "b")


def test_another_librarys_logger_is_muted_for_a_while(
    mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logger = logging.getLogger("another")
    logger.setLevel(logging.INFO)
    with suppress(KeyError), mlops("backend.client").muted("another"):
        logger.warning("unheard")
        logger.error("heard")
        raise KeyError
    assert logger.level == logging.INFO
    assert [record.message for record in caplog.records] == ["heard"]


# --- pages ---


def test_pages_of_runs_and_experiments_have_addresses(mlops: Rooms, database: str) -> None:
    find, client = mlops("commands.ui").find_page, mlflow.MlflowClient(database)
    experiment_id = client.create_experiment("study")
    run_id = client.create_run(experiment_id).info.run_id
    uri, kind = "https://me:CANARY@host/base/", "?workflowType=machine_learning"
    experiment = f"https://host/base/#/experiments/{experiment_id}"
    assert find(client, uri, "study") == f"{experiment}{kind}"
    assert find(client, uri, "study", run_id) == f"{experiment}/runs/{run_id}{kind}"
    assert find(client, uri, "another") is None


@pytest.mark.parametrize(
    ("uri", "has_pages"),
    [
        ("http://host", True),
        ("https://host", True),
        ("databricks", True),
        ("databricks://profile", True),
        ("databricks-uc", False),
        ("sqlite:///mlflow.db", False),
        ("azureml://host", False),
    ],
)
def test_only_servers_have_pages(mlops: Rooms, uri: str, has_pages: bool) -> None:
    pages = mlops("backend.pages")
    assert pages.has_pages(uri) is has_pages
    if uri.startswith("http"):
        assert pages.front_page(uri) == uri
    elif not has_pages:
        assert pages.front_page(uri) is None
        assert pages.how_to_open(uri) == "Their page is that of the service behind this address."


def test_a_page_on_databricks_is_under_its_host(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = mlops("backend.pages")
    monkeypatch.setattr(pages, "databricks_host", lambda uri: "https://dbc")
    assert pages.page("databricks", "1", "r") == "https://dbc/ml/experiments/1/runs/r"
    assert pages.page("databricks", "1") == "https://dbc/ml/experiments/1"
