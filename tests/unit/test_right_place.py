"""Files, models and traces come from where mlflow.yml says, whatever the process points at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from tests.support.rooms import Rooms

VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


class Place:
    """An MLflow with a run, its logged model and version 1 of `sales`, which says where it is."""

    def __init__(self, mlops: Rooms, folder: Path, registry: str = "tracking") -> None:
        uris = {
            "mlflow_tracking_uri": f"sqlite:///{folder}/tracking.db",
            "mlflow_registry_uri": f"sqlite:///{folder}/{registry}.db",
        }
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.server = mlops("config").ServerOptions(**uris)
        self.client: MlflowClient = mlops("backend.client").connect(self.server)
        experiment = self.client.create_experiment("study", (folder / "files").as_uri())
        self.run_id = self.client.create_run(experiment).info.run_id
        self.client.log_text(self.run_id, folder.name, "files/where")
        self.model = self.client.create_logged_model(experiment, "model", self.run_id)
        (folder / "where").write_text(folder.name, "utf-8")
        self.client.log_model_artifact(self.model.model_id, str(folder / "where"))
        self.client.log_outputs(self.run_id, [LoggedModelOutput(self.model.model_id, 0)])
        self.client.create_registered_model("sales")
        self.client.create_model_version("sales", self.model.artifact_location, self.run_id)
        self.client.set_registered_model_alias("sales", "champion", "1")


@pytest.fixture(scope="module")
def places(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Place]:
    """Two that look alike, and one whose registry is a database of its own."""
    folder = tmp_path_factory.mktemp("places")
    return {
        "ours": Place(mlops, folder / "ours"),
        "other": Place(mlops, folder / "other"),
        "apart": Place(mlops, folder / "apart", "registry"),
    }


@pytest.fixture(params=["an empty environment", "another address in it"])
def elsewhere(
    request: pytest.FixtureRequest,
    places: dict[str, Place],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """A process whose own address, and working directory, are not the project's."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if request.param != "an empty environment":
        monkeypatch.setenv(VARIABLES[0], places["other"].server.uri)
    before = mlflow.get_tracking_uri()
    yield
    assert mlflow.get_tracking_uri() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ours", "apart"])
@pytest.mark.parametrize(
    "address",
    [
        "models:/sales/1",
        "models:/sales@champion",
        "models:/sales/latest",
        "models:/{model}",
        "runs:/{run}/model",
        "runs:/{run}/files",
        "{file}",
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_files_come_from_the_address_of_mlflow_yml(
    mlops: Rooms, places: dict[str, Place], name: str, address: str
) -> None:
    place = places[name]
    address = address.format(
        model=place.model.model_id, run=place.run_id, file=place.model.artifact_location
    )
    folder = mlops("backend.artifacts").download(address, place.server)
    assert (folder / "where").read_text("utf-8") == name
    assert [path.name for path in folder.iterdir()] == ["where"]


@pytest.mark.usefixtures("elsewhere")
def test_a_version_is_looked_up_and_copied_from_there(
    mlops: Rooms, places: dict[str, Place], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = places["ours"].server
    config = mlops("config").parse_config({"model": {"name": "another"}})
    deployment = SimpleNamespace(
        project=tmp_path_factory.mktemp("project"),
        config=config.model_copy(update={"server": server}),
        version=mlops("registry.versions").find_version("sales", server),
    )
    (deployment.project / "uv.lock").touch()
    mlops("deployment.image").fetch_model(deployment).run()
    folder = deployment.project / "deploy/docker/model"
    assert (folder / "where").read_text("utf-8") == "ours"
    served = mlops("serving.champion").packed_model
    (folder / "MLmodel").write_text("model_id: m-1", "utf-8")
    assert str(served(folder, config)) == "sales version 1"


@pytest.mark.parametrize(
    ("tracking", "registry", "by_id"),
    [
        ("http://server", None, True),
        ("http://server", "http://server", True),
        ("http://server", "http://other", False),
        ("http://server", "sqlite:///registry.db", False),
        ("sqlite:///mlflow.db", None, False),
        ("databricks", None, False),
        ("arn:aws:sagemaker:x", None, False),
    ],
)
def test_a_version_is_of_a_model_by_its_id_only_where_the_registry_can_look_it_up(
    mlops: Rooms, tracking: str, registry: str | None, by_id: bool
) -> None:
    options = mlops("config").PlaceOptions(
        mlflow_tracking_uri=tracking, mlflow_registry_uri=registry
    )
    assert mlops("backend.artifacts").knows_models(options) == by_id


def test_a_trace_whose_spans_are_a_file_is_read_from_its_own_server(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class Answered:
        def download_trace_data(self) -> dict[str, Any]:
            return {"spans": []}

    def repository(uri: str, **given: Any) -> Answered:
        asked.update(given, uri=uri)
        return Answered()

    target = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"
    monkeypatch.setattr(target, repository)
    client = mlops("mlflow_internals").tracing_client("http://theirs")
    tags = {"mlflow.artifactLocation": "mlflow-artifacts:/1/traces/tr-1/artifacts"}
    client._download_trace_data(type("Info", (), {"tags": tags})())
    assert asked == {
        "uri": "mlflow-artifacts:/1/traces/tr-1/artifacts",
        "tracking_uri": "http://theirs",
    }
