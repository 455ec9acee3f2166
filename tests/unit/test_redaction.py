"""The owner's own patterns mask as the usual names of secrets do."""

from __future__ import annotations

import base64
import builtins
import json
import logging
import os
import pickle
import re
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rooms import Rooms, room

VALUES = {"customer_id": "CANARY", "deep": [{"customer_name": "CANARY"}], "password": "CANARY"}


def test_the_owners_patterns_mask_too(mlops: Rooms) -> None:
    patterns = mlops("config").parse_config({"redaction": {"patterns": ["^customer_"]}})
    masked = mlops("redaction").mask("", VALUES, patterns.redaction.patterns)
    assert masked == {
        "customer_id": "********",
        "deep": [{"customer_name": "********"}],
        "password": "********",
    }


def test_without_patterns_the_usual_names_alone_are_masked(mlops: Rooms) -> None:
    masked = mlops("redaction").mask("", VALUES)
    assert masked == VALUES | {"password": "********"}


def test_a_pattern_that_is_none_is_refused_by_its_place(mlops: Rooms) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=r"redaction\.patterns\.0"):
        mlops("config").parse_config({"redaction": {"patterns": ["("]}})


# Both sides of what a name suggests: its value is masked, whatever it is.
SECRETS = """
password passwords PGPASSWORD db.password db.passphrase passphrase passcode passwd pwd db_pwd
DB_PASS secret secrets client_secret clientSecret SECRET_KEY API_KEY api-key apikey api_keys
x-api-key
aws_secret_access_key AWS_ACCESS_KEY_ID access_keys accountKey AccountKey SharedAccessKey
signing_key signingKey signingkey SigningKeys sshkey ssh_key SSH_KEY private_key private.ssh-key
encryption_key encryptionKeys decrypt_key masterKey license_key subscription-key webhook_key
AZURE_STORAGE_CONNECTION_STRING connectionString token api_token accessToken access_token auth_token
hf_token GITHUB_TOKEN MLFLOW_TRACKING_TOKEN AWS_SESSION_TOKEN token_secret bot-token token.value
stop_token_secret bearer_token refresh_token author_token keyword_token authorization
Proxy-Authorization credential credentials.value
\N{FULLWIDTH LATIN SMALL LETTER T}oken пароль db_пароль 密码 データベースのパスワード
mot_de_passe motdepasse aws_creds conn_string Passwort contraseña 비밀번호
"""
# Its value has to tell: it is masked unless it is a column, a number, or a word.
PERHAPS = """
auth basic_auth oauth bearer cookie cookies session_cookie authcookie signature signatures
sig sas jwt sas_url_sas dsn sentry_dsn tokens user_tokens key keys main_key
"""
OTHERS = """
monkey monkeys turkey hockey passengers passes pass_rate keyword keywords alpha tokenizer tokenizers
tokenize max_tokens maxTokens max_new_tokens maxtokens n_tokens num_tokens pad_token pad_token_id
padToken eos_token EOS_TOKEN bos_token unk_token sep_token cls_token mask_token special_token
special_tokens stop_token image_token n_token max_token cost_per_token token_column token_columns
token_count tokenCount token_ids token_length token_limit token_type token_type_ids token_dim
token_embedding token-overlap model.eos_token tokens_per_second tokens_used prompt_tokens
completion_tokens token_sort_ratio password_column password_length secret_name key_column
key_columns primary_key foreign_key foreign_keys sort_key partition_key row_key public_key hash_key
key_type key_length key_name keyboard author authors authority auth_type auth_url signature_type
cookie_name signal sigma sign saskatchewan dsn_name bearing passport compass oldpwd secretary
credit_card_column accounting tokyo authentic design_id
"""


@pytest.mark.parametrize("key", SECRETS.split())
def test_a_secret_is_known_by_its_name(mlops: Rooms, key: str) -> None:
    mask = mlops("redaction").mask
    assert mask(key, "CANARY") == "********"
    assert mask("x", {key: "CANARY", "y": 1}) == {key: "********", "y": 1}
    assert mlops("redaction").secret_values({key: "CANARY"}) == {"CANARY"}


# Of a column, an option, a signature.
ORDINARY = [
    *("id", "customer_id", "orders.customer_id", "createdAt", "Customer name", "basic", "<pad>"),
    *("data/x.sas7bdat", "val/rmse@10", "#ff00ff"),
    *("oauth2", "address_line_2", "data/01_raw/records.csv", "2024-01-01", "12345678", "${key}"),
    *("predict(x: int) -> float", ["id", "date"], {"inputs": ['[{"type": "double"}]']}),
    *(True, 7, 0.5, None),
]


@pytest.mark.parametrize("key", PERHAPS.split())
def test_where_the_name_is_not_enough_the_value_tells(mlops: Rooms, key: str) -> None:
    redaction = mlops("redaction")
    for value in ("CANARY-1a", "k9F/8a7c+Zz0==", "eyJhbGciOi.eyJzdWIi.c2ln"):
        assert redaction.mask(key, value) == "********"
        assert redaction.mask(key, [value, 1]) == ["********", 1]
        assert redaction.secret_values({key: value}) == {value}
    for ordinary in ORDINARY:
        assert redaction.mask(key, ordinary) == ordinary
        assert redaction.secret_values({key: ordinary}) == set()


@pytest.mark.parametrize("key", OTHERS.split())
def test_a_name_that_only_resembles_one_is_not(mlops: Rooms, key: str) -> None:
    for value in ("<pad>", "CUSTOMER_ID", 12, "CANARY-1"):
        assert mlops("redaction").mask(key, value) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [("credentials", "dev_s3"), ("password_min_len", 8), ("token_ratio", 0.5), ("key", "COUNTRY")],
)
def test_what_is_about_secrets_is_none(mlops: Rooms, key: str, value: object) -> None:
    assert mlops("redaction").mask(key, value) == value


# --- Where a secret is in a text ---

# What is between «» is masked, the rest is left; ¤ stands for a canary.
TEXTS = [
    "postgresql://«eve:¤»@db/x",
    "postgresql://«eve:¤/a»@db:5432/x",
    "postgresql://«eve:¤@a»@db/x",
    "postgresql://«eve:¤@a/b»@db/x",
    "postgresql://«eve:¤:a#b?c»@db/x",
    "postgresql://«eve:12/34»@db/x",
    "postgresql+psycopg://«eve:¤%2Fa»@db/x?sslmode=require",
    "mongodb://«eve:¤»@a:1,b:2/x",
    "redis://«:¤/a»@cache:6379/0",
    "amqp://«guest:¤»@mq//",
    "https://«eve:¤»@host",
    "https://«eve:¤@host/a»@b",
    "https://«eve:¤»@host.example.com/a@v1",
    "https://«eve:¤/a»@host.example.com/x",
    "https://«eve:¤?a»@host.example.com/x",
    "https://«eve:¤#a»@host.example.com/x",
    "https://«ghp_¤»@github.com/o/r@v1",
    "git+https://«oauth2:¤»@gitlab.com/o/r.git",
    "no answer from 'mysql://«eve:¤»@db/x' (eve)",
    "see https://«eve:¤»@host, and https://host/a@b",
    "http://host/x?access_token=«¤»&a=1",
    "http://host/x?a=1&access_token=«¤»",
    "https://s.blob.core.windows.net/c/f?sv=2022&sp=r&sig=«¤%2Fa%3D»",
    "https://b.s3.amazonaws.com/f?X-Amz-Algorithm=A&X-Amz-Signature=«¤»",
    "https://b.s3.amazonaws.com/f?X-Amz-Credential=«¤/a/b»&X-Amz-Date=2",
    "https://b.s3.amazonaws.com/f?X-Amz-Security-Token=«¤»",
    "https://storage.googleapis.com/f?X-Goog-Signature=«¤»",
    "https://host/x?api_key=«¤»",
    "https://maps.example.com/x?key=«¤1»&q=oslo",
    "https://hooks.example.com/x?client_secret=«¤»&refresh_token=«¤»",
    "jdbc:postgresql://db:5432/x?user=eve&password=«¤»",
    "jdbc:mysql://db/x?password=«¤/a@b»&useSSL=true",
    "jdbc:sqlserver://db:1433;user=eve;password=«¤&a,b»;encrypt=true",
    "jdbc:oracle:thin:«eve/¤»@//db:1521/x",
    "Driver={ODBC Driver 18};Server=db;UID=eve;PWD=«¤»",
    "Driver={ODBC Driver 18};Server=db;UID=eve;PWD={«¤»};Encrypt=yes",
    "Server=db;User Id=eve;Password=«¤&a»;",
    "Server=db;Password = «¤»; Encrypt=yes",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«¤/a+b==»;EndpointSuffix=x",
    "Endpoint=sb://a/;SharedAccessKeyName=root;SharedAccessKey=«¤=»",
    "BlobEndpoint=https://a/;SharedAccessSignature=«sv=1&sig=¤»",
    "host=db user=eve password=«¤» dbname=x",
    "host=db password='«¤ a»' dbname=x",
    "kedro run --params db.password=«¤»,split.seed=7",
    "curl --token «¤1» https://host",
    "curl --token=«¤»",
    "['curl', '--password', '«¤1»', 'https://host']",
    "curl -u eve:«¤1» https://host",
    "['curl', '--user', 'eve:«¤1»']",
    "password => «¤1»",
    "password=«'¤ of a text that was cut»",
    "Authorization: «token ¤1»",
    "curl -H 'Authorization: «Bearer ¤1»'",
    "{'Authorization': '«Basic ¤1==»'}",
    "sent Bearer «¤1»",
    "{'token': '«¤»', 'n': 1}",
    "{'login': {'user': 'eve', 'password': '«¤»'}}",
    '{"api_key": "«¤\\"a»", "n": 1}',
    '{"body": "{\\"token\\": \\"«¤»\\", \\"n\\": 1}"}',
    "{'password': b'«¤»'}",
    "{'password': «12345678»}",
    "Login(user='eve', password='«¤»')",
    "password: «¤1»",
    "X-Api-Key: «¤1»",
    "signing_key=«¤»",
]
PLAIN = [
    "https://host/a@b",
    "http://localhost:5000/#/experiments/1@2",
    "https://medium.com/@eve/x",
    "git+https://github.com/o/r@v1.2",
    "s3://bucket/key@2024/part-0",
    "hdfs://namenode:8020/x@y",
    "models:/iris@champion",
    "sqlite:////home/a b/mlflow.db",
    "postgresql://db:5432/x",
    "mail eve@example.com about https://host/x",
    "The page: http://127.0.0.1:5000/#/experiments/1/runs/2?workflowType=machine_learning",
    "https://host/x?page=2&sort=name&token_type=bearer",
    "https://host/x?key=customer_id&sort_key=date",
    "SELECT * FROM t WHERE token = 'x' AND key = 'id'",
    "max_tokens=512, pad_token='<pad>', tokens=4096",
    "sorted(rows, key=lambda row: row.id)",
    "token=None, password=None, api_key=True",
    "password=${DB_PASSWORD} token={token} secret=%s key=<key>",
    "password=********;",
    "connect(password=os.environ['X'])",
    "Parameter 'token' is missing: give it a value",
    "token: str",
    "password: Field required",
    "{'primary_key': 'id', 'key': 'customer_id', 'tokens': ['<s>']}",
    "KeyError: 'customer_key'",
    "signature: {'inputs': 'double'}",
    "Basic statistics of the data",
    "docker run -u 1000:1000 x",
    "a == b; key == 3",
    "train: 0.93, author: Eve, monkey: yes",
    "Node 'split' is done: 12 rows, key columns=2",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_is_known_by_its_place(mlops: Rooms, text: str) -> None:
    redaction, whole = mlops("redaction"), re.sub("[«»]", "", text).replace("¤", "CANARY")
    masked = re.sub("«[^»]*»", "********", text)
    assert redaction.mask_text(whole) == redaction.mask_text(masked) == masked
    assert redaction.secret_values({"x": whole})


@pytest.mark.parametrize("text", PLAIN)
def test_any_other_text_stays_as_it_is(mlops: Rooms, text: str) -> None:
    redaction = mlops("redaction")
    assert redaction.mask_text(text) == text
    assert redaction.secret_values({"x": text}) == set()


class Broken(Exception):  # noqa: N818
    """An error that breaks when it is asked, and takes no other message."""

    args = property(lambda self: 1 / 0)

    def __str__(self) -> str:
        raise RuntimeError("no message")


class Entry:
    """It answers every comparison with an error, as a table or an array does."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_the_value_of_a_secret_may_be_anything(mlops: Rooms) -> None:
    redaction = mlops("redaction")
    for value in (Entry(), np.ones(3), 0, False, {"a": 1}, [""]):
        assert redaction.mask("token", value) == "********"
    assert redaction.mask("token", None) is None
    assert redaction.mask("token", "") == ""
    values = {"token": Entry(), "password": 12345678, 2020: {"pwd": ["87654321", Entry()]}}
    assert redaction.secret_values(values) == {"12345678", "87654321"}


def test_an_error_may_be_anything(mlops: Rooms) -> None:
    error = Broken("CANARY-1")
    error.detail = "no CANARY-1"  # type: ignore[attr-defined]
    mlops("redaction").mask_error(error, {"CANARY-1"})
    assert error.detail == "no ********"  # type: ignore[attr-defined]
    assert mlops("errors").one_line(error) == "Broken"


def test_an_error_without_secrets_stays_what_it_is(mlops: Rooms) -> None:
    error = KeyError("a", 1)
    args = error.args
    mlops("redaction").mask_error(error, {"CANARY-1"})
    assert error.args is args


def test_values_of_secrets_are_masked_in_a_text(mlops: Rooms) -> None:
    redaction = mlops("redaction")
    values = {
        "db": {"password": "CANARY-1", "port": 5432},
        "uri": "postgresql://bob:CANARY-2@db/x",
        "pin_token": "1234",
    }
    secrets = redaction.secret_values(values)
    text = "CANARY-1 and CANARY-2 at https://eve:CANARY-3@host, port 5432, 1234"
    masked = "******** and ******** at https://********@host, port 5432, 1234"
    assert redaction.mask_text(text, secrets) == masked


@pytest.mark.parametrize(("value", "found"), [("12345", set()), ("123456", {"123456"})])
def test_a_secret_has_at_least_six_characters(mlops: Rooms, value: str, found: set[str]) -> None:
    redaction = mlops("redaction")
    assert redaction.secret_values({"token": value}) == found
    assert redaction.mask_text(f"<{value}>", found) == ("<********>" if found else "<12345>")


def test_the_working_directory_is_no_secret(mlops: Rooms) -> None:
    values = {"PWD": "/home/ada/churn", "DB_PWD": "CANARY-1"}
    assert mlops("redaction").secret_values(values) == {"CANARY-1"}


def test_an_error_keeps_its_kind_and_loses_its_secrets(mlops: Rooms) -> None:
    cause = OSError(5, "no CANARY-1 here")
    error = ValueError("CANARY-1", 7)
    error.__cause__ = cause
    mlops("redaction").mask_error(error, {"CANARY-1"})
    assert (str(error), str(cause)) == ("('********', 7)", "[Errno 5] no ******** here")


def test_our_own_errors_show_no_password(mlops: Rooms) -> None:
    error = mlops("errors").TrackingError("http://eve:CANARY@host is away")
    assert error.message == "http://********@host is away"


# --- Values that are known ---

KEY = "-----BEGIN KEY-----\nfirstCANARY/line\nsecondCANARY+line\n-----END KEY-----\n"


def forms(value: str) -> list[str]:
    """How a value may be written, each with something around it."""
    data = value.encode()
    encoded = [base64.b64encode(b"eve:"[:shift] + data + b"!").decode() for shift in range(4)]
    return [
        f"with {value}.",
        f"a={quote(value, safe='')}&b",
        re.sub("%..", lambda code: code[0].lower(), quote(value)),
        quote_plus(value),
        f"Basic {encoded[0]}",
        *encoded,
        base64.urlsafe_b64encode(b"\xff\xfe" + data).decode(),
        repr(value),
        repr([value]),
        repr(data),
        json.dumps({"x": value}),
        json.dumps(json.dumps(value)),
        *value.splitlines()[value.count("\n") > 0 : -1],
        *(
            base64.b64encode(line.encode()).decode()
            for line in value.splitlines()[value.count("\n") > 0 : -1]
        ),
    ]


@pytest.mark.parametrize("value", ["s3cr3t/CANARY+x", "pä ss'CANARY\"\\x", KEY, "CANARY" * 20])
def test_a_known_value_is_found_in_every_form(mlops: Rooms, value: str) -> None:
    redaction = mlops("redaction")
    for text in forms(value):
        masked = redaction.mask_text(text, {value})
        assert "CANARY" not in masked
        assert "********" in masked
        assert redaction.mask_text(masked, {value}) == masked


def test_a_short_secret_masks_no_part_of_a_word(mlops: Rooms) -> None:
    redaction = mlops("redaction")
    values = {"password": "abcde", "db": {"token": "airflow", "secret": "mlflow", "pwd": "123456"}}
    secrets = redaction.secret_values(values)
    assert secrets == {"airflow", "mlflow", "123456"}
    text = "abcdef: airflows at 1234567 s, mlflow's airflow 123456"
    masked = "abcdef: airflows at 1234567 s, mlflow's ******** ********"
    assert redaction.mask_text(text, secrets) == masked
    # A parameter that is such a word is none: else no model would be packaged with it.
    redaction.KNOWN.add(secrets)
    try:
        assert redaction.mask("x", ["airflow", "123456"]) == ["airflow", "********"]
    finally:
        redaction.KNOWN.clear()


def test_credentials_are_secrets_whatever_their_names(mlops: Rooms) -> None:
    credentials = {
        "crm": {"login": "CANARY-1", "user": "eve.adams", "endpoint_url": "https://host/x"},
        "dev": {"con": "postgresql://eve:CANARY-2@db/x", "client": {"key": "CANARY-3", "port": 1}},
        "odd": ["CANARY-4", None, 7],
    }
    found = mlops("redaction").credential_values(credentials)
    text = " ".join(mlops("redaction").mask_text(f"<{n}>", found) for n in map(str, [credentials]))
    assert "CANARY" not in text
    assert all(word in text for word in ("eve.adams", "https://host/x", "'port': 1"))


def test_the_known_values_of_this_process_are_masked_everywhere_until_they_are_cleared(
    mlops: Rooms,
) -> None:
    redaction = mlops("redaction")
    with redaction.redacted_log():
        redaction.KNOWN.add({"CANARY-1"})
        pattern = redaction.mask_text("of CANARY-1") and redaction.KNOWN._pattern
        redaction.KNOWN.add({"CANARY-1"})
        # Nothing new: the pattern is not made again.
        assert redaction.KNOWN._pattern is pattern
        assert redaction.mask("a", ["of CANARY-1"]) == ["of ********"]
        assert mlops("errors").one_line(ValueError("CANARY-1")) == "********"
        assert mlops("errors").TrackingError("CANARY-1").message == "********"
    assert redaction.mask_text("CANARY-1") == "CANARY-1"


def test_a_run_within_a_command_forgets_what_it_has_learnt_alone(
    mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    """`kedro mlflow tune` has many runs, and continues after each."""
    redaction = mlops("redaction")
    with redaction.redacted_log():
        redaction.KNOWN.add({"CANARY-1"})
        for number in (2, 3):
            with redaction.redacted_log():
                redaction.KNOWN.add({f"CANARY-{number}"})
            assert redaction.KNOWN.values == {"CANARY-1"}
        logging.getLogger("any").warning("of %s", "CANARY-1")
    assert caplog.messages == ["of ********"]
    assert not redaction.KNOWN.values


# As uvicorn logs a request: its formatter takes the five apart.
REQUEST = ("127.0.0.1:5", "GET", "/runs?name=CANARY-1", "1.1", 200)


@pytest.mark.parametrize(
    ("message", "given", "kept"),
    [
        ('%s - "%s %s HTTP/%s" %d', REQUEST, (*REQUEST[:2], "/runs?name=********", *REQUEST[3:])),
        ("of %(name)s", ({"name": "CANARY-1"},), {"name": "********"}),
        ("CANARY-1 of %s", ("a",), ()),
        ("of %s", (Path("CANARY-1"),), ()),
        ("100% of CANARY-1", (), ()),
    ],
)
def test_a_handler_that_looks_at_a_lines_arguments_finds_them_masked(
    mlops: Rooms, caplog: pytest.LogCaptureFixture, message: str, given: tuple[Any, ...], kept: Any
) -> None:
    redaction = mlops("redaction")
    with redaction.redacted_log():
        redaction.KNOWN.add({"CANARY-1"})
        logging.getLogger("any").warning(message, *given)
    (record,) = caplog.records
    assert "CANARY" not in record.getMessage()
    assert "********" in record.getMessage()
    assert record.args == kept


def test_the_journal_holds_no_secret_and_its_names_stay(mlops: Rooms, tmp_path: Path) -> None:
    redaction, journal = mlops("redaction"), mlops("tracking.journal").Journal(tmp_path)
    redaction.KNOWN.add({"CANARY-1"})
    try:
        journal.append("params", values={"CANARY-1": "of CANARY-1", "url": "http://a:CANARY@h"})
        journal.append("node", name="n", error="E: CANARY-1", status="FINISHED", path="/CANARY-1")
        journal.append("metrics", values=[("CANARY-1", 0.5, 0)])
    finally:
        redaction.KNOWN.clear()
        journal.close()
    params, node, metrics = mlops("tracking.journal").all_records(tmp_path)
    assert params.data["values"] == {"CANARY-1": "of ********", "url": "http://********@h"}
    assert node.data["error"] == "E: ********"
    assert (node.data["status"], node.data["path"]) == ("FINISHED", "/CANARY-1")
    assert metrics.data["values"] == [["CANARY-1", 0.5, 0]]


# --- Errors ---


class Told(Exception):  # noqa: N818
    """It makes its message when it is asked for it."""

    def __str__(self) -> str:
        return f"of {os.environ['CANARY']}"


class Shown:
    """An argument of a class of the project's own."""

    def __repr__(self) -> str:
        return "Shown(CANARY-1)"


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def noted(error: BaseException) -> BaseException:
    error.__notes__ = ["with CANARY-1"]  # type: ignore[attr-defined]
    return error


def errors() -> Iterator[BaseException]:
    """Errors that speak of a secret, in every way that there is."""
    yield ValueError({"token": "CANARY-0", "deep": [{"password": "CANARY-0"}]}, ["CANARY-1", 7])
    yield ValueError(b"CANARY-1", ("a", {"CANARY-1"}), bytearray(b"CANARY-1"))
    yield ValueError(Shown(), 7)
    yield KeyError("CANARY-1")
    yield OSError(5, "no CANARY-1", "/tmp/CANARY-1")
    yield ImportError("no CANARY-1", name="CANARY-1", path="CANARY-1")
    yield SyntaxError("no", ("file", 1, 1, "token = 'CANARY-1'"))
    yield subprocess.CalledProcessError(1, ["x", "--password", "CANARY-0"], b"CANARY-1", "CANARY-1")
    yield subprocess.TimeoutExpired("curl https://eve:CANARY-0@host", 1.0)
    yield UnicodeDecodeError("utf-8", b"CANARY-1", 0, 1, "no CANARY-1")
    yield Told()
    yield noted(ValueError("x"))
    yield chained(ValueError("x"), chained(KeyError("y"), noted(OSError("CANARY-1"))))
    if group := getattr(builtins, "ExceptionGroup", None):
        inner = group("of CANARY-1", [ValueError("CANARY-1"), Told()])
        yield group("x", [inner, KeyError("CANARY-1")])


@pytest.mark.parametrize("number", range(len(list(errors()))))
def test_an_error_keeps_its_class_and_shows_no_secret(
    mlops: Rooms, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "CANARY-1")
    error = list(errors())[number]
    kind = type(error)
    mlops("redaction").mask_error(error, {"CANARY-1"})
    shown = "".join(traceback.format_exception(error))
    attributes = f"{vars(error)} {getattr(error, 'filename', '')} {error!r}"
    assert "CANARY-" not in shown + attributes
    assert isinstance(error, kind)
    assert type(error).__qualname__ == kind.__qualname__
    # A worker's error is sent to its parent.
    assert type(pickle.loads(pickle.dumps(error))).__name__ == kind.__name__
    mlops("redaction").mask_error(error, {"CANARY-1"})
    assert "".join(traceback.format_exception(error)) == shown


# --- What has no secret stays the same ---

words = st.text("abcdefghij ABC0123456789_.,:/-=&?'\"{}[]", max_size=60)
plain = st.recursive(
    words | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=8,
)


@given(plain)
def test_what_has_no_secret_stays_as_it_is(value: Any) -> None:
    redaction = room("redaction")
    assert redaction.mask("x", value) == value
    assert redaction.mask_leaves(value) == value


@given(st.text(max_size=80), st.sets(st.text(min_size=6, max_size=20), max_size=3))
def test_masking_again_changes_nothing(text: str, secrets: set[str]) -> None:
    mask_text = room("redaction").mask_text
    once = mask_text(text, secrets)
    assert mask_text(once, secrets) == once
