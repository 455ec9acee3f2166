"""Versions and aliases in a real registry: found or refused in a sentence, never half-way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry.model_version_search import ModelVersionSearch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.entities import PagedList

from tests.support.rooms import Rooms


@pytest.fixture(scope="module")
def server(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("registry")
    server = mlops("config").ServerOptions(mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db")
    client = mlops("backend.client").connect(server)
    about = {"tags": {"team": "a"}, "description": "Of sales."}
    mlops("registry.versions").make_registered_model(client, "sales", **about)
    for _ in range(3):
        client.create_model_version("sales", str(folder / "files"))
    return server


@pytest.fixture
def client(mlops: Rooms, server: Any) -> MlflowClient:
    """The registry, with version 1 as the champion and no history."""
    client: MlflowClient = mlops("backend.client").connect(server)
    for alias in client.get_registered_model("sales").aliases:
        client.delete_registered_model_alias("sales", alias)
    for number in "123":
        for tag in client.get_model_version("sales", number).tags:
            client.delete_model_version_tag("sales", number, tag)
    client.set_registered_model_alias("sales", "champion", "1")
    return client


def aliases(client: MlflowClient) -> dict[str, str]:
    return {key: str(value) for key, value in client.get_registered_model("sales").aliases.items()}


def test_a_registered_model_is_made_once_and_keeps_what_it_has(
    mlops: Rooms, client: MlflowClient
) -> None:
    mlops("registry.versions").make_registered_model(client, "sales")
    model = client.get_registered_model("sales")
    assert (model.description, model.tags) == ("Of sales.", {"team": "a"})


def test_who_may_not_create_a_registered_model_uses_the_one_that_is_there(
    mlops: Rooms, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(name: str, **about: Any) -> None:
        raise MlflowException("CREATE MODEL is missing", PERMISSION_DENIED)

    monkeypatch.setattr(client, "create_registered_model", denied)
    make = mlops("registry.versions").make_registered_model
    make(client, "sales")
    with pytest.raises(MlflowException, match="CREATE MODEL is missing"):
        make(client, "unknown")


@pytest.mark.parametrize("wanted", ["2", "candidate"])
def test_a_version_is_found_by_its_number_and_by_an_alias(
    mlops: Rooms, server: Any, client: MlflowClient, wanted: str
) -> None:
    client.set_registered_model_alias("sales", "candidate", "2")
    assert str(mlops("registry.versions").find_version("sales", server, wanted).version) == "2"


def test_without_a_number_it_is_the_champion(mlops: Rooms, server: Any, client: Any) -> None:
    assert str(mlops("registry.versions").find_version("sales", server).version) == "1"


def test_all_pages_of_unity_catalogs_search_are_read_and_versions_have_their_tags(
    mlops: Rooms, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.set_model_version_tag("sales", "2", "owner", "eve")

    def search(asked: str, *, max_results: int, page_token: str = "3") -> PagedList[ModelVersion]:
        assert (asked, max_results > 1) == ("name = 'sales'", True)
        found: list[ModelVersion] = [ModelVersionSearch("sales", page_token, 0)]
        return PagedList(found, {"3": "2", "2": "1"}.get(page_token))

    monkeypatch.setattr(client, "search_model_versions", search)
    found = mlops("registry.versions").versions_of(client, "sales")
    assert [(str(each.version), each.tags) for each in found] == [
        *(("1", {}), ("2", {"owner": "eve"}), ("3", {}))
    ]


@pytest.mark.parametrize("name", ["bob's sales", 'the "new" one', "50% off", "a.b.c", "größe & #1"])
def test_versions_are_found_under_every_name_that_mlflow_takes(
    mlops: Rooms, client: MlflowClient, tmp_path: Path, name: str
) -> None:
    versions = mlops("registry.versions")
    versions.make_registered_model(client, name)
    client.create_model_version(name, str(tmp_path))
    assert [each.name for each in versions.versions_of(client, name)] == [name]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("sales", "9", "'sales' has no version 9: `kedro mlflow ui` lists its versions"),
        ("unknown", None, "'unknown' is the champion yet: train one with `kedro run`"),
        ("sales", "challenger", "is the challenger: train one .* or give a version.s number"),
        ("sales", "best", "has the alias 'best': give a version's number"),
    ],
)
def test_a_version_that_does_not_exist_is_refused_in_a_sentence(
    mlops: Rooms, server: Any, client: Any, name: str, wanted: str | None, message: str
) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("registry.versions").find_version(name, server, wanted)


def test_a_version_that_was_registered_by_hand_cannot_be_judged_in_a_sentence(
    mlops: Rooms, client: MlflowClient
) -> None:
    version = client.get_model_version("sales", "1")
    for version._run_id in (None, "", "0123456789abcdef0123456789abcdef"):
        with pytest.raises(mlops("errors").TrackingError) as refused:
            mlops("registry.versions").run_of(client, version)
        assert str(refused.value) == (
            "Version 1 of sales (champion) has no run whose metrics could be judged: train one "
            "with `kedro run`."
        )
    version._run_id = client.create_run("0").info.run_id
    assert mlops("registry.versions").run_of(client, version).info.run_id == version.run_id


def test_a_registry_that_does_not_open_is_named_without_its_password(
    mlops: Rooms, tmp_path: Path
) -> None:
    away = mlops("config").ServerOptions(
        mlflow_tracking_uri="mysql+pymysql://mlflow:CANARY@127.0.0.1:1/mlflow"
    )
    with pytest.raises(mlops("errors").TrackingError) as raised:
        mlops("registry.versions").find_version("sales", away)
    assert "could not be asked for the alias champion of 'sales'" in str(raised.value.message)
    assert "CANARY" not in str(raised.value.message)


def test_a_promotion_is_history_first_and_one_call_last(mlops: Rooms, client: MlflowClient) -> None:
    versions = mlops("registry.versions")
    client.set_registered_model_alias("sales", "challenger", "2")
    champion, candidate = (client.get_model_version("sales", number) for number in "12")
    calls: list[str] = []
    recorded = Recorded(client, calls)
    versions.promote_alias(recorded, candidate, champion, "forced", "because " * 50)
    assert calls == ["set_model_version_tag"] * 5 + ["set_registered_model_alias"]
    versions.clear_challenger(client, candidate)
    assert aliases(client) == {"champion": "2"}
    promoted = versions.champion_of(client, "sales")
    assert promoted.tags["promoted_by"] == mlops("tracking.capture.tags").user_name()
    assert len(promoted.tags["promotion_reason"]) == 250
    assert versions.previous_of(promoted) == "1"

    calls.clear()
    versions.restore_alias(recorded, promoted, champion, "too bold")
    assert calls == ["set_model_version_tag"] * 3 + ["set_registered_model_alias"]
    assert aliases(client) == {"champion": "1"}
    assert client.get_model_version("sales", "2").tags["rollback_reason"] == "too bold"
    with pytest.raises(mlops("errors").TrackingError, match="there is no way back"):
        versions.previous_of(versions.champion_of(client, "sales"))


def test_the_challenger_of_another_version_stays(mlops: Rooms, client: MlflowClient) -> None:
    client.set_registered_model_alias("sales", "challenger", "3")
    mlops("registry.versions").clear_challenger(client, client.get_model_version("sales", "1"))
    assert aliases(client) == {"champion": "1", "challenger": "3"}


def test_a_registered_model_without_a_champion_has_none(mlops: Rooms, client: MlflowClient) -> None:
    client.delete_registered_model_alias("sales", "champion")
    assert mlops("registry.versions").champion_of(client, "sales") is None
    assert mlops("registry.versions").champion_of(client, "unknown") is None


class Recorded:
    """A client that notes the names of its calls."""

    def __init__(self, client: MlflowClient, calls: list[str]) -> None:
        self._client, self._calls = client, calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append(name)
        return getattr(self._client, name)
