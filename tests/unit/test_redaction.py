"""The owner's own patterns mask as the usual names of secrets do."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "key", ["PGPASSWORD", "accessToken", "AZURE_STORAGE_CONNECTION_STRING", "db.passphrase", "pwd"]
)
def test_a_secret_is_known_by_its_name(mlops: Rooms, key: str) -> None:
    assert mlops("redaction").is_secret(key)


@pytest.mark.parametrize("key", ["monkey", "max_tokens", "passengers", "tokenizer", "key"])
def test_a_name_that_only_resembles_one_is_not(mlops: Rooms, key: str) -> None:
    assert not mlops("redaction").is_secret(key)


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
