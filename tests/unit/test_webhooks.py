"""Webhooks in a real registry: those of mlflow.yml are registered, others stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.support.rooms import Rooms

HOOK: dict[str, Any] = {
    "name": "deploy",
    "url": "https://93.184.215.14/hook",
    "events": ["model_version_alias.created"],
    "secret_env": "DEPLOY_SECRET",
}


@pytest.fixture
def client(database: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("DEPLOY_SECRET", "CANARY-one")
    client = MlflowClient(database, database)
    for name in ("deploy", "theirs"):  # The first has the name of ours.
        client.create_webhook(name, HOOK["url"], ["prompt.created"], "Of somebody else.")
    return client


@pytest.fixture
def register(mlops: Rooms, client: MlflowClient) -> Callable[..., list[str]]:
    """Register webhooks as mlflow.yml has them; the lines."""

    def registering(*wanted: dict[str, Any]) -> list[str]:
        server = mlops("config").ServerOptions(webhooks=list(wanted))
        return list(mlops("backend.webhooks").register(client, server.webhooks))

    return registering


def state(client: MlflowClient) -> set[tuple[Any, ...]]:
    return {
        (each.name, each.url, *sorted(map(str, each.events)), each.secret)
        for each in client.list_webhooks()
    }


THEIRS = {(name, HOOK["url"], "prompt.created", None) for name in ("deploy", "theirs")}
OURS = ("deploy", HOOK["url"], "model_version_alias.created", "CANARY-one")


@pytest.mark.parametrize(
    ("change", "line", "then"),
    [
        ({}, "as before", OURS),
        ({"url": f"{HOOK['url']}s"}, "changed", (OURS[0], f"{HOOK['url']}s", *OURS[2:])),
        ({"events": ["prompt_tag.set"]}, "changed", (*OURS[:2], "prompt_tag.set", OURS[3])),
        ({"events": HOOK["events"] * 2}, "as before", OURS),
        ({"secret_env": "OTHER_SECRET"}, "as before", (*OURS[:3], "CANARY-two")),
        ({"secret_env": None}, "changed", (*OURS[:3], None)),
        ({"name": "another"}, "registered", ("another", *OURS[1:])),
        (None, "deleted", None),
    ],
    ids=["nothing", "url", "events", "an event twice", "secret", "no secret", "name", "gone"],
)  # fmt: skip
def test_again_changes_what_has_changed_and_nothing_of_others(
    change: dict[str, Any] | None,
    line: str,
    then: tuple[Any, ...] | None,
    client: MlflowClient,
    register: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTHER_SECRET", "CANARY-two")
    assert register(HOOK) == ["Webhook deploy registered."]
    assert state(client) == THEIRS | {OURS}
    lines = register(*([HOOK | change] if change is not None else []))
    assert line in lines[0]
    assert state(client) == THEIRS | ({then} if then else set())
    assert "CANARY" not in str(lines)


def test_a_change_that_was_killed_leaves_one_webhook_and_a_refused_one_a_sentence(
    mlops: Rooms,
    client: MlflowClient,
    register: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(webhook_id: str) -> None:
        raise KeyboardInterrupt

    register(HOOK)
    for change, then in (({"secret_env": None}, {(*OURS[:3], None)}), (None, set())):
        wanted = [HOOK | change] if change else []
        with monkeypatch.context() as patched:
            patched.setattr(client, "delete_webhook", killed)
            with pytest.raises(KeyboardInterrupt):
                register(*wanted)
        register(*wanted)
        assert state(client) == THEIRS | then
    register(HOOK)

    def refused(webhook_id: str) -> None:
        raise MlflowException("Permission denied.")

    monkeypatch.setattr(client, "delete_webhook", refused)
    with pytest.raises(mlops("errors").TrackingError, match=r"deploy .*: Permission denied\."):
        register()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secret_env": "MISSING"}, "the environment variable MISSING, is not set"),
        ({"events": ["model.promoted"]}, "no event model.promoted .there are: registered_model"),
        ({"url": "http://93.184.215.14/"}, "Allowed schemes are: https. .*_ALLOWED_SCHEMES"),
        ({"url": "https://127.0.0.1/"}, "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:20],
)
def test_what_cannot_be_registered_is_one_sentence(
    change: dict[str, Any], message: str, mlops: Rooms, register: Callable[..., list[str]]
) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=message):
        register(HOOK | change)


@pytest.mark.parametrize(
    ("webhooks", "message"),
    [
        ([HOOK | {"secret_env": "s3cret-value"}], "webhooks.0.secret_env: String should match"),
        ([HOOK | {"secret": "x"}], "unknown key 'server.webhooks.0.secret'"),
        ([HOOK, HOOK], "webhooks has a name twice"),
        ([HOOK | {"events": []}], "webhooks.0.events: List should have at least 1"),
    ],
    ids=lambda value: "" if isinstance(value, list) else value[:20],
)
def test_mlflow_yml_holds_no_secret_and_no_name_twice(
    webhooks: list[dict[str, Any]], message: str, mlops: Rooms
) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=message) as refused:
        mlops("config").parse_config({"server": {"webhooks": webhooks}})
    assert "s3cret" not in str(refused.value)


def test_a_project_without_the_server_says_what_brings_it(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(mlops("project"), "TEMPLATE_FOLDER", tmp_path)
    with pytest.raises(mlops("errors").TrackingError, match="-d tracking_preset=server"):
        mlops("config").parse_config({"server": {"webhooks": [HOOK]}})


@pytest.mark.parametrize(
    ("key", "message"), [("", "is not set"), ("short", "is no key"), ("A" * 43 + "=", None)]
)
def test_a_server_that_cannot_keep_secrets_does_not_start(
    key: str, message: str | None, mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", key)
    require = mlops("backend.webhooks").require_key
    hook = mlops("config").WebhookOptions
    require([hook(**HOOK | {"secret_env": None})])
    if message is None:
        require([hook(**HOOK)])
    else:
        with pytest.raises(mlops("errors").TrackingError, match=message):
            require([hook(**HOOK)])
