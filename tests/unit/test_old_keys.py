"""A key of mlflow.yml that was renamed counts under its old name, and says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rooms import Rooms

RENAMED = {
    "tracking.capture.plots": "tracking.capture.figures",
    "page": "ui",
    "old.end": "shipping.deadline",
    "ui.colour": None,
}


@pytest.fixture(autouse=True)
def renamed(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    for old, new in RENAMED.items():
        monkeypatch.setitem(mlops("config").RENAMED_KEYS, old, new)


@pytest.mark.parametrize(
    ("old", "content"),
    [
        ("tracking.capture.plots", {"tracking": {"capture": {"plots": False}}}),
        ("page", {"page": {"port": 5001}}),
        ("old.end", {"old": {"end": 7}}),
    ],
)
def test_an_old_name_counts_and_the_message_has_both(
    old: str, content: dict[str, Any], mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    config = mlops("config").parse_config(content)
    expected = {"tracking.capture.plots": (False, 5000, 60), "page": (True, 5001, 60)}
    values = (config.tracking.capture.figures, config.ui.port, config.shipping.deadline)
    assert values == expected.get(old, (True, 5000, 7))
    (message,) = caplog.messages
    assert f"'{old}' is called '{RENAMED[old]}' now" in message


def test_the_old_name_counts_beside_the_new_one(mlops: Rooms) -> None:
    # conf/base/mlflow.yml comes from the template, conf/prod/mlflow.yml from the owner.
    both = {"page": {"port": 5001}, "ui": {"port": 5000, "host": "0.0.0.0"}}
    config = mlops("config").parse_config(both)
    assert (config.ui.port, config.ui.host) == (5001, "0.0.0.0")


def test_a_key_that_is_gone_does_nothing_and_is_named(
    mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    config = mlops("config").parse_config({"ui": {"colour": "green", "port": 5001}})
    assert config.ui.port == 5001
    assert caplog.messages == ["mlflow.yml: 'ui.colour' does nothing any more: delete it."]


def test_new_names_alone_are_no_news(mlops: Rooms, caplog: pytest.LogCaptureFixture) -> None:
    config = mlops("config").parse_config({"tracking": {"capture": {"figures": False}}})
    assert not config.tracking.capture.figures
    assert caplog.messages == []


def test_what_else_is_wrong_is_refused_as_ever(mlops: Rooms) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=r"'tracking\.capture\.plot'"):
        mlops("config").parse_config({"tracking": {"capture": {"plot": False}}})
