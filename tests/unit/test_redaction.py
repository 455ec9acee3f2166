"""The owner's own patterns mask as the usual names of secrets do."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.rooms import Rooms

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


# Both sides of what a name suggests.
SECRETS = [
    "password",
    "PGPASSWORD",
    "db.password",
    "db.passphrase",
    "pwd",
    "API_KEY",
    "api-key",
    "aws_secret_access_key",
    "AZURE_STORAGE_CONNECTION_STRING",
    "token",
    "api_token",
    "accessToken",
    "access_token",
    "auth_token",
    "hf_token",
    "GITHUB_TOKEN",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SESSION_TOKEN",
    "token_secret",
    "bot-token",
    "token.value",
    "stop_token_secret",
]
OTHERS = [
    "monkey",
    "passengers",
    "keyword",
    "key",
    "alpha",
    "tokenizer",
    "tokens",
    "max_tokens",
    "n_tokens",
    "num_tokens",
    "pad_token",
    "pad_token_id",
    "padToken",
    "eos_token",
    "EOS_TOKEN",
    "bos_token",
    "unk_token",
    "sep_token",
    "cls_token",
    "mask_token",
    "special_token",
    "stop_token",
    "image_token",
    "n_token",
    "max_token",
    "cost_per_token",
    "token_column",
    "token_columns",
    "token_count",
    "tokenCount",
    "token_ids",
    "token_length",
    "token_limit",
    "token_type",
    "token_type_ids",
    "token_dim",
    "token_embedding",
    "token-overlap",
    "model.eos_token",
]


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_is_known_by_its_name(mlops: Rooms, key: str) -> None:
    mask = mlops("redaction").mask
    assert mask(key, "CANARY") == "********"
    assert mask("x", {key: "CANARY", "y": 1}) == {key: "********", "y": 1}


@pytest.mark.parametrize("key", OTHERS)
def test_a_name_that_only_resembles_one_is_not(mlops: Rooms, key: str) -> None:
    assert mlops("redaction").mask(key, "<pad>") == "<pad>"


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
