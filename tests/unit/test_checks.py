"""The checks of `kedro mlflow doctor`, as far as they only decide: what is looked at is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from mlflow.version import VERSION
from sqlalchemy.exc import OperationalError

from tests.support.rooms import Rooms

SERVER = "https://mlflow.example.com"

WORKFLOW = "name: ci\ndefaults:\n  run:\n    shell: bash\n"
COPY = f"{WORKFLOW}    working-directory: apps/study\n"

# Makes a set-up: its tracking URI, what the server has answered, and what else mlflow.yml says.
Make = Callable[..., Any]


@pytest.fixture
def setup_of(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_INSECURE_TLS"):
        monkeypatch.delenv(name, raising=False)

    def make(uri: str = SERVER, answer: dict[str, Any] | None = None, **content: Any) -> Any:
        server = {"mlflow_tracking_uri": uri} | content.pop("server", {})
        config = mlops("config").parse_config({"server": server} | content)
        setup = mlops("doctor.setup").Setup(tmp_path, config)
        setup.answer = mlops("doctor.setup").Answer(**(answer or {"status": 200}))
        return setup

    return make


@pytest.mark.parametrize(
    ("uri", "location", "given", "missing"),
    [
        (SERVER, None, [], ""),
        (SERVER, None, ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"], ""),
        (SERVER, None, ["MLFLOW_TRACKING_USERNAME"], "MLFLOW_TRACKING_PASSWORD"),
        (SERVER, None, ["MLFLOW_TRACKING_PASSWORD"], "MLFLOW_TRACKING_USERNAME"),
        ("databricks", None, ["DATABRICKS_HOST", "DATABRICKS_TOKEN"], ""),
        ("databricks", None, ["DATABRICKS_CONFIG_PROFILE"], ""),
        (
            "databricks",
            None,
            ["DATABRICKS_HOST", "DATABRICKS_CLIENT_ID"],
            "DATABRICKS_CLIENT_SECRET",
        ),
        ("databricks://team", None, [], ""),
        ("arn:aws:sagemaker:x", None, ["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY"),
        ("arn:aws:sagemaker:x", None, ["AWS_PROFILE"], ""),
        ("sqlite:///x", "s3://bucket", ["AWS_SECRET_ACCESS_KEY"], "AWS_ACCESS_KEY_ID"),
        ("azureml://x", None, ["AZURE_CLIENT_ID"], ""),
        (
            "azureml://x",
            None,
            ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"],
            "AZURE_TENANT_ID",
        ),
    ],
)
def test_a_variable_without_the_ones_it_needs_is_named(
    mlops: Rooms,
    setup_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    location: str | None,
    given: list[str],
    missing: str,
) -> None:
    for name in given:
        monkeypatch.setenv(name, "CANARY-value")
    experiment = {"create_experiment_kwargs": {"artifact_location": location}}
    setup = setup_of(uri, tracking={"experiment": experiment})
    finding = mlops("doctor.connection").variables(setup)
    assert finding.status == ("failed" if missing else "ok")
    assert finding.message.startswith(missing)
    assert "CANARY" not in finding.message
    for name in given if not missing else ():
        assert name in finding.message


def test_an_exported_variable_that_overrides_the_one_in_dotenv_is_named(
    mlops: Rooms, setup_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of()
    dotenv = "MLFLOW_TRACKING_TOKEN=CANARY-new\nKEDRO_ENV=local\nEMPTY=\n"
    (setup.project_path / ".env").write_text(dotenv)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "CANARY-old")
    monkeypatch.setenv("KEDRO_ENV", "local")
    finding = mlops("doctor.connection").variables(setup)
    assert finding.status == "warning"
    assert finding.message.startswith("MLFLOW_TRACKING_TOKEN:")
    assert "CANARY" not in finding.message + finding.remedy


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"status": 200}, "ok", "mlflow.example.com answers"),
        ({"status": 401}, "ok", "answers"),
        ({"status": 502}, "failed", "502"),
        ({"status": 403, "text": "Invalid Host header - ..."}, "failed", "not to the name"),
        ({"error": requests.exceptions.ReadTimeout()}, "failed", "within seconds"),
        # What `requests` makes of a time-out once its retries are used up.
        ({"error": requests.exceptions.ConnectionError("Read timed out")}, "failed", "seconds"),
        ({"error": requests.exceptions.ProxyError()}, "failed", "the proxy"),
        (
            {"error": requests.exceptions.ConnectionError("NameResolutionError(...)")},
            "failed",
            "no host mlflow.example.com",
        ),
        ({"error": requests.exceptions.ConnectionError("BadStatusLine")}, "failed", "BadStatus"),
        (
            {"error": requests.exceptions.ConnectionError("Connection refused")},
            "failed",
            "no server listens at mlflow.example.com",
        ),
        ({"error": requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")}, "ok", "answers"),
    ],
)
def test_an_address_is_judged_by_what_came_back(
    mlops: Rooms, setup_of: Make, answer: dict[str, object], status: str, words: str
) -> None:
    finding = mlops("doctor.connection").address(setup_of(answer=answer))
    assert finding.status == status
    assert words in finding.message
    assert (status == "ok") == (finding.remedy == "")


@pytest.mark.parametrize(
    ("uri", "unchecked", "status", "words"),
    [
        (SERVER, False, "ok", "good"),
        (SERVER, True, "warning", "MLFLOW_TRACKING_INSECURE_TLS"),
        ("http://mlflow.example.com", False, "warning", "others on the network"),
        ("http://10.0.0.7:5000", False, "warning", "others on the network"),
        ("http://127.0.0.1:5000", False, "ok", "this machine"),
        ("http://[::1]:5000", False, "ok", "this machine"),
        ("http://localhost", False, "ok", "this machine"),
    ],
)
def test_only_this_machine_needs_no_encryption(
    mlops: Rooms,
    setup_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    unchecked: bool,
    status: str,
    words: str,
) -> None:
    setup = setup_of(uri)
    if unchecked:
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    finding = mlops("doctor.connection").encryption(setup)
    assert finding.status == status
    assert words in finding.message


@pytest.mark.parametrize(
    ("off", "status", "words"),
    [
        (0, "ok", "agrees"),
        (-20, "ok", "agrees"),
        (90, "warning", "90 seconds ahead of the server"),
        (-290, "warning", "5 minutes behind the server"),
        (3600 * 5, "failed", "5 hours ahead of the server: signed requests"),
        (-86400 * 400, "failed", "400 days behind"),
    ],
)
def test_clocks_may_differ_by_seconds(
    mlops: Rooms, setup_of: Make, off: float, status: str, words: str
) -> None:
    now = time.time()
    answer = {"date": formatdate(now - off, usegmt=True), "asked": now}
    finding = mlops("doctor.connection").clock(setup_of(answer=answer))
    assert finding.status == status
    assert words in finding.message


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_server_without_a_clock_is_no_trouble(
    mlops: Rooms, setup_of: Make, date: str | None
) -> None:
    setup = setup_of(answer={"date": date, "asked": time.time()})
    assert mlops("doctor.connection").clock(setup).status == "ok"


@pytest.mark.parametrize(
    ("server", "status"),
    [
        ("1.30.0", "failed"),
        ("2.22.2", "failed"),
        ("3.0.1", "warning"),
        ("3.3.2", "warning"),
        ("3.4.0", "ok"),
        (VERSION, "ok"),
        ("3.20.0rc1", "ok"),
        ("4.0.0", "warning"),
        ("<html>", "ok"),
    ],
)
def test_a_server_must_know_models_and_should_know_timelines(
    mlops: Rooms, setup_of: Make, server: str, status: str
) -> None:
    setup = setup_of(answer={"text": f"{server}\n"})
    assert mlops("doctor.connection").version(setup).status == status


@pytest.mark.parametrize(
    ("shown", "remedy"),
    [
        ({}, "Put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into .env"),
        ({"MLFLOW_TRACKING_TOKEN": "CANARY"}, "it may have expired"),
        (
            {"MLFLOW_TRACKING_USERNAME": "CANARY", "MLFLOW_TRACKING_PASSWORD": "CANARY"},
            "Correct MLFLOW_TRACKING_USERNAME",
        ),
    ],
)
def test_who_gets_no_access_reads_what_was_not_accepted(
    mlops: Rooms,
    setup_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    shown: dict[str, str],
    remedy: str,
) -> None:
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    sign_in = mlops("doctor.connection").sign_in
    finding = sign_in(setup_of(answer={"status": 401}))
    assert finding.status == "failed"
    assert remedy in finding.remedy
    assert "CANARY" not in finding.message + finding.remedy
    provider = {"request_header_provider": {"type": "package.Provider"}}
    finding = sign_in(setup_of(answer={"status": 401}, server=provider))
    assert "package.Provider" in finding.message


def test_tables_are_of_this_mlflow_or_of_an_older_or_of_a_newer_one(mlops: Rooms) -> None:
    judge = mlops("doctor.stores").judge_revision
    known = ["c", "b", "a"]
    assert judge("c", known, "3.17.2", "upgrade it").status == "ok"
    older = judge("a", known, "3.17.2", "upgrade it")
    assert (older.status, "2 migrations behind" in older.message) == ("failed", True)
    assert "upgrade it" in older.remedy
    newer = judge("d", known, "3.17.2", "upgrade it")
    assert (newer.status, "newer MLflow" in newer.message) == ("failed", True)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ('FATAL: password authentication failed for user "x"', "user and password"),
        ("(1045, \"Access denied for user 'x'@'h'\")", "user and password"),
        ('FATAL: database "x" does not exist', "Create the database"),
        ("(1049, \"Unknown database 'x'\")", "Create the database"),
        ("connection refused", "Start the database"),
        ("unable to open database file", "write the file"),
    ],
)
def test_a_databases_refusal_leads_to_its_remedy(
    mlops: Rooms,
    setup_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    remedy: str,
) -> None:
    def refuse(uri: str) -> None:
        raise OperationalError("connect", {}, Exception(words))

    monkeypatch.setattr(mlops("doctor.stores"), "opened", refuse)
    finding = mlops("doctor.stores").database(setup_of("postgresql+psycopg://x:y@host/runs"))
    assert finding.message == f"PostgreSQL at host does not open ({words})"
    assert finding.status == "failed"
    assert remedy in finding.remedy


def test_files_on_another_machine_are_not_written_to_this_one(mlops: Rooms, tmp_path: Path) -> None:
    judge = mlops("doctor.stores").judge_location
    assert "its own machine" in judge("/srv/artifacts/1", SERVER).message
    assert "its own machine" in judge("file:///srv/artifacts/1", SERVER).message
    assert judge(str(tmp_path), "http://127.0.0.1:5000") is None
    assert judge("mlflow-artifacts:/1", SERVER) is None
    assert judge("s3://bucket/1", SERVER) is None
    assert "is gone" in judge(str(tmp_path / "gone" / "1"), "sqlite:///x").message


def test_what_others_say_is_shown_without_secrets(mlops: Rooms) -> None:
    said = mlops("doctor.setup").failed(
        "CANARY-1 is wrong at http://x:CANARY-2@host", "Correct it."
    )
    assert said.masked(["CANARY-1"]).message == "******** is wrong at http://********@host"


def test_a_check_that_hangs_ends_in_seconds(mlops: Rooms) -> None:
    doctor = mlops("doctor")
    over = threading.Event()
    check = doctor.Check("address", lambda _: over.wait())
    finding = doctor.within(0.1, check, None)
    assert doctor.is_waiting()
    over.set()
    assert finding.status == "failed"
    assert "no answer within 0.1 seconds" in finding.message


def test_the_import_of_mlflow_is_none_of_a_servers_time(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor, order = mlops("doctor"), list[str]()
    monkeypatch.setattr(doctor, "import_mlflow", lambda: order.append("import"))

    def check(setup: Any) -> Any:
        order.append("check")
        return mlops("doctor.setup").ok("fine")

    setup = mlops("doctor.setup").Setup(Path(), mlops("config").KedroMlflowConfig())
    assert [name for name, _ in doctor.diagnose([doctor.Check("sign-in", check)], setup)] == [
        "sign-in"
    ]
    assert order == ["import", "check"]


def test_what_needs_a_failed_check_is_skipped_and_says_which(mlops: Rooms) -> None:
    doctor, finding = mlops("doctor"), mlops("doctor.setup")
    looks = {
        "first": ((), finding.failed("broken", "Correct it.")),
        "second": (("first",), finding.ok("never looked at")),
        "third": (("second",), finding.ok("never looked at")),
        "fourth": ((), finding.warning("so so", "Think.")),
        "fifth": (("fourth",), finding.ok("fine")),
    }
    checks = [
        doctor.Check(name, lambda _, found=found: found, needs)
        for name, (needs, found) in looks.items()
    ]
    setup = mlops("doctor.setup").Setup(Path(), SimpleNamespace())
    setup.remove_later("the file x", lambda: 1 / 0)
    found = dict(doctor.diagnose(checks, setup))
    assert [each.status for each in found.values()] == [
        *("failed", "skipped", "skipped", "warning", "ok"),
        "warning",
    ]
    assert found["second"].message == found["third"].message == "needs first"
    assert found["left behind"].message == "the file x"


def test_a_check_that_fails_in_its_own_way_is_a_finding(mlops: Rooms) -> None:
    doctor = mlops("doctor")
    check = doctor.Check("address", lambda _: 1 / 0)
    assert doctor.within(5, check, None).status == "failed"


@pytest.mark.parametrize(("environment", "option"), [("local", ""), ("staging", " --env staging")])
def test_what_waits_is_sent_by_the_command_of_its_own_environment(
    mlops: Rooms, tmp_path: Path, environment: str, option: str
) -> None:
    config = mlops("config").KedroMlflowConfig().read_from(environment, "local")
    state, stores = mlops("project").State.of(tmp_path), mlops("doctor.stores")
    for folder in (state.journals / "one", state.refused / "two"):
        folder.mkdir(parents=True)
    (state.journals / "one" / "run.json").write_text("{}", encoding="utf-8")
    assert stores.journal(state, config).remedy == f"Run `uv run kedro mlflow sync{option}`."
    assert f"`uv run kedro mlflow sync --refused{option}`" in stores.refused(state, config).remedy
    assert f"sync --give-up two{option}`" in stores.refused(state, config).remedy


# --- what is left of the example ---

MARK = "# Still the example's: replace it.\n"
CARD = (
    "<!-- Still the example's: this describes a model of data/01_raw/study.csv. Replace it. -->\n"
)


@pytest.mark.parametrize(
    ("files", "status", "named"),
    [
        ({}, None, []),
        ({"MODEL_CARD.md": "# Mine\n"}, None, []),
        ({"src/p/mlops/config.py": MARK, "tests/test_x.py": MARK}, None, []),
        ({"src/p/pipelines/schemas.py": MARK}, "ok", ["src/p/pipelines/schemas.py"]),
        ({"src/p/pipelines/training/nodes.py": MARK}, "ok", ["src/p/pipelines/training/nodes.py"]),
        ({"conf/base/catalog.yml": MARK, "data/01_raw/README.md": MARK}, "ok", ["conf", "data"]),
        ({"MODEL_CARD.md": CARD, "data/01_raw/study.csv": "x\n"}, "ok", ["MODEL_CARD.md"]),
        ({"MODEL_CARD.md": CARD}, "warning", ["MODEL_CARD.md", "its data are replaced"]),
    ],
)
def test_what_is_still_the_examples_is_named(
    files: dict[str, str], status: str | None, named: list[str], mlops: Rooms, tmp_path: Path
) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    found = mlops("doctor.example").example(tmp_path)
    assert (found.status if found else None) == status
    assert [name for name in named if name not in found.message] == []


@pytest.mark.parametrize(
    ("folder", "copied", "status", "words"),
    [
        (".", {}, None, ""),  # The project is the repository.
        ("apps/study", {}, "warning", "lack those of apps/study or have older ones: ci.yml"),
        ("apps/study", {"ci.yml": "name: ci\n"}, "warning", "older ones: ci.yml"),
        ("apps/study", {"study-ci.yml": "name: ci\n"}, "warning", "older ones: ci.yml"),
        ("apps/study", {"study-ci.yml": WORKFLOW}, "warning", "older ones: ci.yml"),
        ("apps/study", {"study-ci.yml": COPY.replace("ci", "old")}, "warning", "ones: ci.yml"),
        ("apps/study", {"study-ci.yml": COPY}, "ok", "check apps/study"),
    ],
)
def test_workflows_of_a_subfolder_are_in_the_root_of_the_repository(
    mlops: Rooms,
    tmp_path: Path,
    folder: str,
    copied: dict[str, str],
    status: str | None,
    words: str,
) -> None:
    (tmp_path / ".git").mkdir()
    for place, files in ((folder, {"ci.yml": WORKFLOW}), (".", copied)):
        (tmp_path / place / ".github/workflows").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / place / ".github/workflows" / name).write_text(text, "utf-8")
    found = mlops("doctor.workflows").workflows(tmp_path / folder)
    assert (found and found.status) == status
    assert words in (found.message if found else "")
    if status == "warning":
        assert "`study-` before their names" in found.remedy
        assert "`working-directory: apps/study` below `shell: bash`" in found.remedy
