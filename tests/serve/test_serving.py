"""The served model over HTTP: every shape of request, every refusal, and who may ask."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from tests.support.answers import REPOSITORY
from tests.support.machine import free_port
from tests.support.processes import wait_until
from tests.support.profiles import examples
from tests.support.project import PACKAGE, Project, Trained, answers_at, copy_of
from tests.support.rooms import PACKAGE as NAME
from tests.support.serving import JSON, Answer, Served, serving

TOKEN = "CANARYCANARY-a-token"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
CSV = "text/csv"
INFER = f"/v2/models/{PACKAGE}/infer"
# Rendered only where the model is served in a container.
V2 = "mlops/serving/v2_protocol.py"
# What a model's code has no business with.
SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "CANARY-password",
    "AWS_SECRET_ACCESS_KEY": "CANARY-key",
    "OWN_VARIABLE": "told",
}
# Bounds that a test reaches quickly.
BOUNDS = "serving: {max_megabytes: 1, max_rows: 1000}\nmodel: {environment: [OWN_*]}\n"


@pytest.fixture(scope="module")
def served(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests here: two workers, a token, bounds of its own, both protocols."""
    folder = tmp_path_factory.mktemp("serving")
    project = Project(folder / "project", trained.project.environment)
    shutil.copytree(trained.project.folder, project.folder)
    shutil.copy(REPOSITORY / f"template/src/{NAME}/{V2}", project.folder / f"src/{PACKAGE}/{V2}")
    (project.folder / "conf/bounded").mkdir()
    project.write("conf/bounded/mlflow.yml", BOUNDS)
    options = ("--workers", "2", "--env", "bounded")
    with serving(project, folder, *options, token=TOKEN, env=SECRETS) as server:
        wait_until(lambda: len(server.workers()) == 2)
        yield server
    assert "Traceback" not in server.screen(), server.screen()
    assert "CANARY" not in server.screen()


@pytest.fixture(scope="module")
def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(rows.to_json(orient="records"))  # type: ignore[no-any-return]


def predictions(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.content
    return [row["progression"] for row in answer.body["predictions"]]


# --- what it answers ---


def test_every_shape_that_mlflow_documents_is_answered_as_batch_scoring_does(
    served: Served, rows: pd.DataFrame, records: list[dict[str, Any]], scored: list[float]
) -> None:
    split = json.loads(rows.to_json(orient="split"))
    shapes: list[dict[str, Any]] = [
        {"dataframe_split": split},
        {"dataframe_split": {key: split[key] for key in ("columns", "data")}},
        {"dataframe_records": records},
        {"instances": records},
        {"instances": split["data"]},
        {"inputs": rows.to_dict("list")},
        {"inputs": records},
        {"inputs": split["data"]},
    ]
    for body in shapes:
        assert predictions(served.ask("/invocations", body)) == pytest.approx(scored), body.keys()
    for kind in (CSV, "text/csv; charset=utf-8", "Text/CSV"):
        answer = served.ask("/invocations", rows.to_csv(index=False).encode(), kind)
        assert predictions(answer) == pytest.approx(scored)


def test_columns_count_by_name_in_any_order(
    served: Served, records: list[dict[str, Any]], scored: list[float]
) -> None:
    turned = [dict(reversed(row.items())) for row in records]
    answer = served.ask("/invocations", {"dataframe_records": turned})
    assert predictions(answer) == pytest.approx(scored)


def test_mlflows_own_client_reads_the_answer(
    served: Served, records: list[dict[str, Any]], scored: list[float]
) -> None:
    from mlflow.deployments import PredictionsResponse

    answer = served.ask("/invocations", {"dataframe_records": records})
    read = PredictionsResponse.from_json(answer.content.decode()).get_predictions()
    assert list(read["progression"]) == pytest.approx(scored)


def test_each_answer_says_which_version_has_predicted(
    served: Served, records: list[dict[str, Any]]
) -> None:
    answer = served.ask("/invocations", {"dataframe_records": records})
    assert answer.headers["x-model-name"] == PACKAGE
    assert answer.headers["x-model-version"] == answer.body["model_version"] == "1"


def test_kserves_protocol_takes_a_tensor_a_column(
    served: Served, rows: pd.DataFrame, scored: list[float]
) -> None:
    length = len(rows)
    for shape in ([length], [length, 1]):
        inputs = [
            {"name": name, "shape": shape, "datatype": "FP64", "data": rows[name].tolist()}
            for name in rows
        ]
        answer = served.ask(INFER, {"id": "42", "inputs": inputs})
        assert answer.status == 200, answer.content
        (output,) = answer.body.pop("outputs")
        assert output.pop("data") == pytest.approx(scored)
        assert output == {"name": "progression", "shape": [length], "datatype": "FP64"}
        assert answer.body["id"] == "42"
        assert answer.body["model_name"] == PACKAGE
        assert answer.body["model_version"] == "1"


def test_kserves_protocol_takes_one_tensor_of_all_columns(
    served: Served, rows: pd.DataFrame, scored: list[float]
) -> None:
    data = rows.to_numpy().tolist()
    for each in (data, [value for row in data for value in row]):
        tensor = {"name": "all", "shape": [len(rows), 10], "datatype": "FP64", "data": each}
        answer = served.ask(f"/v2/models/{PACKAGE}/versions/1/infer", {"inputs": [tensor]})
        assert answer.status == 200, answer.content
        assert answer.body["outputs"][0]["data"] == pytest.approx(scored)


def test_kserves_protocol_describes_server_and_model(served: Served, rows: pd.DataFrame) -> None:
    assert served.ask("/v2").body.keys() == {"name", "version", "extensions"}
    assert served.ask("/v2/health/live").body == {"live": True}
    assert served.ask("/v2/health/ready").body == {"ready": True}
    assert served.ask(f"/v2/models/{PACKAGE}/ready").body == {"name": PACKAGE, "ready": True}
    model = served.ask(f"/v2/models/{PACKAGE}").body
    assert [each["name"] for each in model["inputs"]] == list(rows)
    assert model["outputs"] == [{"name": "progression", "datatype": "FP64", "shape": [-1]}]
    assert model["versions"] == ["1"]


def test_mlflows_routes_say_that_it_is_up(served: Served) -> None:
    assert served.ask("/ping").status == served.ask("/health").status == 200
    assert re.fullmatch(rb"3\.\d+\.\d+", served.ask("/version").content)
    assert served.ask("/ping", method="HEAD").content == b""


# --- what it refuses ---


def test_a_row_that_is_not_what_training_had_is_refused_by_column_and_row(
    served: Served, records: list[dict[str, Any]]
) -> None:
    first = records[0]

    def message(**changes: Any) -> str:
        changed = {name: value for name, value in (first | changes).items() if value != "LESS"}
        answer = served.ask("/invocations", {"dataframe_records": [changed]})
        assert answer.status == 400
        assert answer.body.keys() == {"error_code", "message"}
        assert "\n" not in answer.message
        assert "Traceback" not in answer.message
        return answer.message.removeprefix("The data is refused: ")

    assert message(bmi="LESS") == "missing columns: bmi."
    assert message(BMI=20) == "unexpected columns: 'BMI'."
    assert message(BMI=20, bmi="LESS") == (
        "missing columns: bmi; unexpected columns: 'BMI' (is it bmi?)."
    )
    assert message(bmi="fat") == "bmi must be a number (data row 1: 'fat')."
    assert message(bmi="21.5") == "bmi must be a number (data row 1: '21.5')."
    assert message(bmi=True) == "bmi must be a number (data row 1: True)."
    assert message(bmi=[21.5]) == "bmi must be a number (data row 1: [21.5])."
    assert message(bmi=10**400).startswith("bmi is too large a number (data row 1: 1000")
    assert message(bmi=999) == "bmi must be from 10 to 80 kg/m² (data row 1: 999)."
    assert message(bmi=None) == "bmi must not be empty (data row 1)."
    assert message(bmi=float("nan")) == "bmi must not be empty (data row 1)."
    assert message(bmi=float("inf")).startswith("bmi must be from 10 to 80")
    both = message(bmi=999, age=-1)
    assert "bmi must be from" in both
    assert "age must be from" in both


def test_the_row_is_counted_as_in_the_request(
    served: Served, rows: pd.DataFrame, records: list[dict[str, Any]]
) -> None:
    changed = [*records[:2], records[2] | {"hdl": "?"}]
    answer = served.ask("/invocations", {"dataframe_records": changed})
    assert "hdl must be a number (data row 3: '?')" in answer.message
    text = rows.astype({"hdl": object})
    text.loc[1, "hdl"] = "?"
    answer = served.ask("/invocations", text.to_csv(index=False).encode(), CSV)
    assert "hdl must be a number (data row 2: '?'" in answer.message
    text.loc[1, "hdl"] = None
    answer = served.ask("/invocations", text.to_csv(index=False).encode(), CSV)
    assert "hdl must not be empty (data row 2)" in answer.message


BAD = [
    ("/invocations", b"{", JSON, "The body is not JSON"),
    ("/invocations", b"", CSV, "The body is not CSV"),
    (INFER, b"{}", JSON, "inputs must be a list of tensors"),
]


@pytest.mark.parametrize(("path", "body", "kind", "text"), BAD, ids=range(len(BAD)))
def test_a_malformed_body_is_refused_in_a_sentence(
    served: Served, path: str, body: bytes, kind: str, text: str
) -> None:
    """Each shape and its sentence is in tests/unit/test_protocols.py."""
    answer = served.ask(path, body, kind)
    assert (answer.status, text in answer.message) == (400, True)


# --- how much it takes ---

HEAD = (
    "POST /invocations HTTP/1.1\r\nHost: x\r\n"
    f"Authorization: Bearer {TOKEN}\r\nContent-Type: {JSON}\r\n"
)


def connected(served: Served) -> socket.socket:
    host, port = urlsplit(served.url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_body_above_the_bound_is_refused(served: Served) -> None:
    answer = served.ask("/invocations", b" " * 100_000_000)
    assert answer.status == 413
    assert "larger than 1 MB" in answer.message
    assert served.ask("/invocations", b" " * 1_000_001).status == 413
    assert served.ask("/invocations", b" " * 1_000_000).status == 400


def test_one_far_above_it_is_not_even_read(served: Served) -> None:
    for header in (
        "Content-Length: 10000000000",
        "Content-Length: 2000000\r\nExpect: 100-continue",
    ):
        with connected(served) as connection:
            connection.sendall(f"{HEAD}{header}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_so_is_one_that_does_not_say_how_large_it_is(served: Served) -> None:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": JSON}
    parts = (b" " * 1_000_000 for _ in range(100))
    connection.request("POST", "/invocations", parts, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_large_body_takes_no_memory(served: Served) -> None:
    before = max(map(resident, served.workers()))
    for _ in range(4):
        assert served.ask("/invocations", b" " * 50_000_000).status == 413
    assert max(map(resident, served.workers())) - before < 20_000_000


def resident(process: int) -> int:
    """The bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_few_bytes_are_not_seconds_of_work(served: Served) -> None:
    """Columns, lists and names cost more than their bytes."""
    before = max(map(resident, served.workers()))
    for body, kind, path in (
        (b"," * 900_000, CSV, "/invocations"),
        (b"\n" + b'"\n",' * 200_000, CSV, "/invocations"),
        (b'{"instances": [' + b"[]," * 300_000 + b"0]}", JSON, "/invocations"),
        (
            json.dumps({"inputs": {f"n{n}": [] for n in range(60_000)}}).encode(),
            JSON,
            "/invocations",
        ),
        (json.dumps({"inputs": [{"name": "a"}] * 50_000}).encode(), JSON, INFER),
    ):
        answer = served.ask(path, body, kind)
        assert answer.status in (400, 413), answer.content
        assert len(answer.content) < 700
    assert max(map(resident, served.workers())) - before < 20_000_000


def test_strangers_keep_nobody_out(served: Served, records: list[dict[str, Any]]) -> None:
    """More of them than the workers may have files: the bound was set while they had more."""
    body = {"dataframe_records": records}
    host, port = urlsplit(served.url).netloc.split(":")
    for worker in served.workers():
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (80, 4096))
    try:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            for _ in range(10):
                assert served.ask("/ping").status == 200
                assert served.ask("/invocations", body).status == 200
    finally:
        for worker in served.workers():
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (1024, 4096))
    wait_until(lambda: "idle ones closed for new ones" in served.screen())
    lines = [line for line in served.screen().splitlines() if "Connections: " in line]
    assert len(lines) <= 2 * len(served.workers())


def test_too_many_rows_are_refused_in_every_shape(
    served: Served, rows: pd.DataFrame, records: list[dict[str, Any]]
) -> None:
    many = pd.concat([rows] * (1001 // len(rows) + 1)).head(1001)
    short = many.map(lambda value: round(value, 1))
    for body in (
        {"instances": short.to_numpy().tolist()},
        {"inputs": short.to_dict("list")},
        {"dataframe_split": {"columns": list(short), "data": short.to_numpy().tolist()}},
        {"dataframe_records": short.to_dict("records")},
    ):
        answer = served.ask("/invocations", body)
        assert answer.status == 413, answer.content
        assert "more than 1,000 rows" in answer.message
    answer = served.ask("/invocations", short.to_csv(index=False).encode(), CSV)
    assert (answer.status, "more than 1,000 rows" in answer.message) == (413, True)
    answer = served.ask("/invocations", short.head(1000).to_csv(index=False).encode(), CSV)
    assert len(predictions(answer)) == 1000


def test_a_sender_who_leaves_in_the_middle_harms_nobody(
    served: Served, records: list[dict[str, Any]]
) -> None:
    for text in ("", "GET", f"{HEAD}Content-Length: 100\r\n\r\n{{", f"{HEAD}\r\nxx", "\x00" * 99):
        with connected(served) as connection:
            connection.sendall(text.encode())
    assert served.ask("/invocations", {"dataframe_records": records}).status == 200


# --- who may ask ---


def test_without_the_token_nothing_is_told(served: Served) -> None:
    for shown in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN):
        for path in ("/invocations", INFER, "/v2", "/version", "/nothing"):
            answer = served.ask(path, b"{}", Authorization=shown)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Unauthorized" in answer.message
            assert "x-model-version" not in answer.headers


def test_whether_it_is_well_everybody_may_ask(served: Served) -> None:
    paths = ("/ping", "/health", "/v2/health/live", "/v2/health/ready")
    for path in (*paths, f"/v2/models/{PACKAGE}/ready"):
        assert served.ask(path, Authorization="").status == 200


def test_token_and_credentials_are_nowhere_where_a_models_code_can_look(served: Served) -> None:
    """Neither in its own process nor, for whoever may read that, in the supervisor's."""
    for process in (served.process.pid, *served.workers()):
        assert b"CANARY" not in Path(f"/proc/{process}/cmdline").read_bytes()
        assert b"CANARY" not in Path(f"/proc/{process}/environ").read_bytes()
    for process in served.workers():
        rights = Path(f"/proc/{process}/status").read_text()
        assert not int(rights.partition("CapEff:")[2].split()[0], 16) & 1 << 19, "CAP_SYS_PTRACE"


REFUSED_STARTS = [
    (("--host", "0.0.0.0"), {}, "give SERVING_TOKEN in the environment or in .env a value"),
    (("--host", "0.0.0.0"), {"SERVING_TOKEN": "x" * 15}, "a value of at least 16 characters"),
    ((), {"SERVING_TOKEN": "a b"}, "SERVING_TOKEN holds a space"),
    (("--host", "no.such.host.invalid"), {}, "no such address"),
    (("--model", "."), {}, "there is no model"),
    (("--model", ".", "--reload-on-promote"), {}, "one version for good"),
]


@pytest.mark.parametrize(("options", "env", "text"), REFUSED_STARTS, ids=range(6))
def test_it_does_not_start_where_that_would_be_unsafe_or_of_no_use(
    rendered: Project, options: tuple[str, ...], env: dict[str, str], text: str
) -> None:
    code = 2 if "--reload-on-promote" in options else 1
    command = ("mlflow", "serve", "--port", str(free_port()), *options)
    result = rendered.kedro(*command, code=code, env=env)
    assert text in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_taken_port_is_told(served: Served, rendered: Project) -> None:
    port = served.url.rpartition(":")[2]
    result = rendered.kedro("mlflow", "serve", "--port", port, code=1)
    assert "already: choose another --port" in " ".join(result.stderr.split())


# --- how it lives on ---


def test_prometheus_is_told_of_all_workers_together(
    served: Served, records: list[dict[str, Any]]
) -> None:
    def value(line: str) -> float:
        with urllib.request.urlopen(served.metrics, timeout=10) as response:
            text = response.read().decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    answered = 'serving_requests_total{route="/invocations",status="200"}'
    refused = 'serving_requests_total{route="/invocations",status="400"}'
    counted = 'serving_request_seconds_count{route="/invocations"}'
    names = (answered, refused, counted, "serving_rows_total")
    # A worker counts when it has answered: its caller may be here first.
    wait_until(lambda: value("serving_requests_in_flight") == 0)
    before = [value(name) for name in names]
    for _ in range(20):
        served.ask("/invocations", {"dataframe_records": records})
    for _ in range(5):
        served.ask("/invocations", {"dataframe_records": []})
    wait_until(lambda: value("serving_requests_in_flight") == 0)
    changes = [value(name) - earlier for name, earlier in zip(names, before, strict=True)]
    assert changes == [20, 5, 25, 20 * len(records)]
    assert value(f'serving_model_info{{name="{PACKAGE}",version="1"}}') == 1


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(
    served: Served, records: list[dict[str, Any]]
) -> None:
    body = {"dataframe_records": records}
    first, second = before = served.workers()
    os.kill(first, SIGKILL)
    for _ in range(20):
        assert served.ask("/invocations", body).status == 200
    wait_until(lambda: len(served.workers()) == 2 and first not in served.workers())
    assert second in served.workers()
    assert before != served.workers()
    wait_until(lambda: "another one takes its place" in served.screen())
    assert served.ask("/invocations", body).status == 200


# --- whatever is thrown at it ---

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["age", "bmi", "data", "columns", "name", "shape", "datatype", "FP64"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["age", "data", "columns", "name", "shape"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["dataframe_records", "dataframe_split", "instances", "inputs", "outputs", "params", "id"]
)
BODIES = st.binary(max_size=200) | st.dictionaries(KEYS, ANYTHING, max_size=2).map(
    lambda body: json.dumps(body).encode()
)
KINDS = st.sampled_from([JSON, CSV, "application/json; charset=utf-8", "a/b", "\xff", ";", ""])
PATHS = st.sampled_from(["/invocations", INFER])


def test_hundreds_of_bad_bodies_are_refused_and_it_serves_on(
    served: Served, records: list[dict[str, Any]]
) -> None:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    statuses: dict[int, int] = {}

    @settings(
        max_examples=examples(100, weekly=10_000),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(PATHS, KINDS, BODIES)
    def throw(path: str, kind: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        content = response.read()
        statuses[response.status] = statuses.get(response.status, 0) + 1
        assert 400 <= response.status < 500, (path, kind, body, content)
        assert json.loads(content).keys() in ({"error_code", "message"}, {"error"})
        assert b"Traceback" not in content

    throw()
    connection.close()
    assert sum(statuses.values()) >= examples(60, weekly=2000), statuses
    assert served.ask("/invocations", {"dataframe_records": records}).status == 200


# --- what it says of itself ---


@pytest.mark.parametrize("mode", GenerationMode)
def test_it_does_what_it_says_of_itself(served: Served, mode: GenerationMode) -> None:
    described = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=SHOWN)
    paths = set()

    @settings(
        max_examples=examples(6, weekly=1000),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(operation: Any, data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        # No schema says that a text is CSV with these columns, or that shape and data fit; and a
        # table that is too long is refused by 413, which schemathesis does not take for a refusal.
        unsaid = {"negative_data_rejection"}
        if case.media_type == CSV or "infer" in case.path:
            unsaid.add("positive_data_acceptance")
        excluded: Any = [CHECKS.get_one(name) for name in unsaid]
        response = case.call_and_validate(headers=SHOWN, excluded_checks=excluded)
        assert (response.status_code >= 400) or mode is GenerationMode.POSITIVE
        paths.add(case.path)

    operations: Any = described.get_all_operations()
    for each in operations:
        with suppress(Unsatisfiable):  # What takes nothing cannot be asked wrongly.
            ask(each.ok())
    assert {"/invocations", INFER} <= paths


# --- a model in a folder ---


@pytest.fixture(scope="module")
def in_a_folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the first version's files, as in a container."""
    place = tmp_path_factory.mktemp("folder")
    # What another test has fetched from the registry has its version in a file.
    noted = shutil.ignore_patterns("registered_model_meta")
    shutil.copytree(folder_of_the_first(trained), place / "model", ignore=noted)
    project = copy_of(trained.project, place)
    # The container has no address and no login of the environment that it is for.
    (project.folder / "conf/production").mkdir(exist_ok=True)
    address = "${oc.env:PRODUCTION_MLFLOW_TRACKING_URI}"
    login = "{MLFLOW_TRACKING_PASSWORD: '${oc.env:PRODUCTION_MLFLOW_TRACKING_PASSWORD}'}"
    there = f"server:\n  mlflow_tracking_uri: {address}\n  credentials: {login}\n"
    project.write("conf/production/mlflow.yml", there)
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "KEDRO_ENV": "production"}
    options = ("--model", str(place / "model"), "--host", "0.0.0.0", "--no-token")
    with serving(project, place, *options, env=away) as server:
        yield server
    assert not (project.folder / "mlflow.db").exists()


def folder_of_the_first(trained: Trained) -> Path:
    uri = trained.project.client.get_model_version_download_uri(PACKAGE, "1")
    return Path(uri.removeprefix("file://"))


def test_a_model_in_a_folder_is_served_without_its_registry(
    in_a_folder: Served, trained: Trained, rows: pd.DataFrame, scored: list[float]
) -> None:
    answer = in_a_folder.ask("/invocations", rows.to_csv(index=False).encode(), CSV)
    assert predictions(answer) == pytest.approx(scored)
    # The folder does not know its version: it was never fetched from a registry.
    assert answer.headers["x-model-version"] == folder_of_the_first(trained).parent.name


def test_what_was_being_asked_at_sigterm_is_answered(
    in_a_folder: Served, records: list[dict[str, Any]]
) -> None:
    """The last test of this server."""
    server, body = in_a_folder, json.dumps({"dataframe_records": records}).encode()
    with connected(server) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body[:50])
        server.ask("/ping")  # By now the other connection is accepted as well.
        server.process.send_signal(SIGTERM)
        wait_until(lambda: not answers_at(f"{server.url}/ping"))
        connection.sendall(body[50:])
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert b"predictions" in answer
        assert server.process.wait(timeout=60) == 0
