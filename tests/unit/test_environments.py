"""A version into another Kedro environment: within one registry, and between two."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.support.promoting import PIPELINES, RULES
from tests.support.rooms import Rooms

# What of a promotion in staging must not come along: it would be the way back to a version there.
OF_STAGING = {"promoted_from": "7", "promotion_reason": "all rules hold", "rolled_back_to": "5"}


class Environments:
    """Staging and production, each with its login; the same database, or one each."""

    def __init__(self, mlops: Rooms, folder: Path, empty: Path, between: bool) -> None:
        self.mlops, self.folder = mlops, folder
        self.admitted: list[str] = []
        self.ends = [self.end("staging", empty)]
        self.ends.append(self.end("production", empty if between else None))
        self.state = mlops("project").State(folder)
        self.state.folder.mkdir(exist_ok=True)

    def end(self, name: str, empty: Path | None, model: str = "", **server: str) -> Any:
        database = self.folder / f"{name if empty else 'staging'}.db"
        if empty:
            shutil.copy(empty, database)
        content = {
            "server": {"mlflow_tracking_uri": f"sqlite:///{database}", **server},
            "model": {"name": model or f"sales_{name}"},
            "tracking": {"experiment": {"name": "study"}},
            "promotion": RULES,
        }
        config = self.mlops("config").resolve(
            self.mlops("config").parse_config(content), self.folder
        )

        @contextmanager
        def admitted() -> Iterator[None]:
            self.admitted.append(name)
            yield
            self.admitted.pop()

        return self.mlops("backend.access").Environment(config.read_from(name, "local"), admitted)

    @property
    def staging(self) -> MlflowClient:
        return self._client(0)

    @property
    def production(self) -> MlflowClient:
        return self._client(1)

    def _client(self, end: int) -> MlflowClient:
        client: MlflowClient = self.mlops("backend.client").connect(self.ends[end].config.server)
        return client

    def train(self, rmse: float) -> str:
        """Register a version in staging, its champion: the number."""
        client, name = self.staging, "sales_staging"
        experiment = client.get_experiment_by_name("study")
        files = (self.folder / "files").as_uri()
        made = experiment.experiment_id if experiment else client.create_experiment("study", files)
        tags = {"holdout.digest": "d" * 32, "mlflow.source.git.commit": "c0ffee"}
        run_id = client.create_run(made, tags=tags).info.run_id
        model = client.create_logged_model(made, "pipeline", run_id)
        measured = [Metric("evaluation/rmse", rmse, 1, 0, model.model_id)]
        client.log_batch(run_id, measured)
        folder = self.folder / run_id
        folder.mkdir()
        (folder / "MLmodel").write_text(f"run_id: {run_id}\nmodel_id: {model.model_id}\n")
        (folder / "weights.txt").write_text(str(rmse))
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        client.set_terminated(run_id)
        self.mlops("registry.versions").make_registered_model(client, name)
        digest = {"model_digest": self.mlops("registry.digest").digest_of(folder)}
        with self.mlops("mlflow_internals").registry_asks(client):
            version = client.create_model_version(
                name, f"models:/{model.model_id}", run_id, digest | OF_STAGING | {"owner": "eve"}
            )
        client.set_registered_model_alias(name, "champion", version.version)
        return str(version.version)

    def promote(self, **options: Any) -> Any:
        copy_between = self.mlops("migration.transfer").copy_between
        to = self.mlops("registry.environments").PromotionTo(*self.ends, self.state, copy_between)
        return to.promote(**options)

    def there(self) -> dict[str, Any]:
        """What production has: versions with tags, and aliases."""
        found = self.production.search_registered_models("name = 'sales_production'")
        aliases = found[0].aliases if found else {}
        versions = self.production.search_model_versions("name = 'sales_production'")
        return {
            "aliases": {key: str(number) for key, number in aliases.items()},
            "versions": {str(each.version): each for each in versions},
        }


@pytest.fixture(params=["within", "between"])
def environments(
    request: pytest.FixtureRequest,
    mlops: Rooms,
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Environments:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    return Environments(mlops, tmp_path, empty_database, request.param == "between")


def file_of(client: MlflowClient, run_id: str, path: str) -> str:
    return Path(client.download_artifacts(run_id, path)).read_text("utf-8")


def test_a_version_becomes_the_champion_there_and_says_where_it_was_trained(
    mlops: Rooms, environments: Environments
) -> None:
    number = environments.train(50.0)
    environments.staging.set_model_version_tag("sales_staging", number, "deployed_at", "2026")
    trained = environments.staging.get_model_version("sales_staging", number)
    run_id = str(trained.run_id)
    said = {"promotion.verdict": "forced", "promotion.thresholds.r2": "0.1"}
    for key, text in said.items():
        environments.staging.set_tag(run_id, key, text)
    environments.staging.log_text(run_id, "a table", "promotion/version-1.md")
    tried = environments.promote(dry_run=True)
    assert "would be the champion" in tried.summary
    assert environments.there() == {"aliases": {}, "versions": {}}

    assert environments.promote().promoted
    there = environments.there()
    assert there["aliases"] == {"champion": "1"}
    version, server = there["versions"]["1"], environments.ends[1].config.server
    assert {key: value for key, value in version.tags.items() if key.startswith("training_")} == {
        "training_server": environments.ends[0].config.server.uri,
        "training_version": f"sales_staging/{number}",
        "training_run": trained.run_id,
        "training_commit": "c0ffee",
    }
    assert version.tags["owner"] == "eve"
    assert not {"promoted_from", "rolled_back_to", "deployed_at"} & version.tags.keys()
    assert version.tags["promotion_reason"] == "its rule holds"
    folder = mlops("registry.versions").download(version, server)  # By its digest.
    assert (folder / "weights.txt").read_text() == "50.0"
    run = environments.production.get_run(version.run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"evaluation/rmse": 50.0})

    # Within one server both verdicts are on one run.
    place = "production/" if run.info.run_id == run_id else ""
    assert run.data.tags[f"{place}promotion.verdict"] == "promoted"
    table = file_of(environments.production, run.info.run_id, f"{place}promotion/version-1.md")
    assert table.startswith("# Version 1: promoted\n")
    before = environments.staging.get_run(run_id).data.tags
    assert {key: text for key, text in before.items() if key.startswith("promotion.")} == said
    assert file_of(environments.staging, run_id, "promotion/version-1.md") == "a table"

    again = environments.promote()
    assert "is the champion already" in again.summary
    assert environments.there()["versions"].keys() == {"1"}


def test_a_version_of_the_same_name_and_number_there_is_another_one(
    mlops: Rooms, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    environments = Environments(mlops, tmp_path, empty_database, between=True)
    environments.train(50.0)
    client = environments.production
    client.create_registered_model("sales_staging")
    with mlops("mlflow_internals").registry_asks(client):
        client.create_model_version("sales_staging", str(tmp_path))
        client.copy_model_version("models:/sales_staging/1", "sales_production")
    assert environments.promote(new="the other one is of another study").promoted
    assert environments.there()["aliases"]["champion"] == "2"


def test_a_worse_one_is_the_challenger_there_and_a_rollback_is_of_there(
    mlops: Rooms, environments: Environments
) -> None:
    for rmse in (50.0, 55.0, 40.0):
        environments.train(rmse)
    assert environments.promote(wanted="1").promoted
    refused = environments.promote(wanted="2", dry_run=True)
    assert "rmse against the champion is 55, and must be at most 50" in refused.summary
    refused = environments.promote(wanted="2")
    assert not refused.promoted
    assert environments.there()["aliases"] == {"champion": "1", "challenger": "2"}
    assert environments.promote().promoted
    assert environments.there()["aliases"]["champion"] == "3"
    promotion = mlops("registry.promote").Promotion(environments.ends[1].config, environments.state)
    assert "Version 1 of sales_production is the champion again" in promotion.roll_back("oh")
    assert environments.there()["aliases"]["champion"] == "1"
    assert environments.promote(wanted="2", force="a whim").promoted
    assert environments.there()["versions"].keys() == {"1", "2", "3"}


def test_one_that_is_stopped_at_any_call_goes_on_and_nothing_half_done_is_in_use(
    environments: Environments,
) -> None:
    environments.train(50.0)
    calls = 0
    while True:
        with _stopped_before(calls) as writes:
            try:
                environments.promote()
                break
            except KeyboardInterrupt:
                calls += 1
        there = environments.there()
        if "champion" in there["aliases"]:
            tags = there["versions"][there["aliases"]["champion"]].tags
            assert {"training_run", "moved_from_version", "model_digest"} <= tags.keys()
    assert calls > 5, writes
    there = environments.there()
    assert (there["aliases"], list(there["versions"])) == ({"champion": "1"}, ["1"])
    assert len(environments.production.search_logged_models(["1"])) == 1


@contextmanager
def _stopped_before(call: int) -> Iterator[list[str]]:
    """Interrupt before a write of MLflow's client, the first of which is 0."""
    writes: list[str] = []

    def interrupting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            writes.append(name)
            if len(writes) > call:
                raise KeyboardInterrupt(name)
            return original(*args, **kwargs)

        return write

    names = [
        *("create_run", "create_logged_model", "create_registered_model", "create_model_version"),
        *("log_batch", "log_model_artifact", "finalize_logged_model", "set_terminated"),
        *("copy_model_version", "set_model_version_tag", "delete_model_version_tag"),
        *("set_registered_model_alias", "delete_registered_model_alias", "log_text"),
    ]
    with pytest.MonkeyPatch.context() as patched:
        for name in names:
            original = getattr(MlflowClient, name)
            patched.setattr(MlflowClient, name, interrupting(name, original))
        yield writes


def test_files_that_another_environment_uses_are_not_pruned(
    mlops: Rooms, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    environments = Environments(mlops, tmp_path, empty_database, between=False)
    for rmse in (50.0, 55.0, 40.0):
        environments.train(rmse)
    assert environments.promote(wanted="1").promoted
    found = list(
        mlops("registry.retention").find_old(environments.ends[0].config, environments.state, -1)
    )
    assert [each.name for each in found if each.kind == "version"] == ["1", "2"]
    (files,) = [each.name for each in found if each.kind == "files of a run"]
    assert environments.staging.get_model_version("sales_staging", "2").run_id in files


def test_what_staging_says_of_its_own_promotions_stops_there_however_the_versions_are_numbered(
    mlops: Rooms, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    environments = Environments(mlops, tmp_path, empty_database, between=False)
    for number, rmse in (("1", 50.0), ("2", 40.0)):  # Each has the same number in both.
        environments.train(rmse)
        assert environments.promote(wanted=number).promoted
    assert environments.there()["versions"]["2"].tags["promoted_from"] == "1"
    environments.ends = [environments.ends[1], environments.end("live", None)]
    calls = 0
    while True:
        with _stopped_before(calls):
            try:
                assert environments.promote().promoted
                break
            except KeyboardInterrupt:
                calls += 1
    assert calls > 5
    (live,) = environments.production.search_model_versions("name = 'sales_live'")
    assert live.tags["training_version"] == "sales_staging/2"
    assert live.tags["promotion_reason"] == "its rule holds"
    assert not {"promoted_from", "rolled_back_to"} & live.tags.keys()
    promotion = mlops("registry.promote").Promotion(environments.ends[1].config, environments.state)
    with pytest.raises(mlops("errors").TrackingError, match="there is no way back"):
        promotion.roll_back("oh")


# Where production is: another registered model there is promoted, the same one is refused.
SAME_REGISTRIES = {
    "the same server": {},
    "the same server by another address": {"mlflow_tracking_uri": "sqlite:///{}/alias.db"},
    "another server with the same registry": {
        "mlflow_tracking_uri": "sqlite:///{}/other.db",
        "mlflow_registry_uri": "sqlite:///{}/staging.db",
    },
}


@pytest.mark.parametrize("model", ["sales_staging", "sales_production"])
@pytest.mark.parametrize("server", SAME_REGISTRIES.values(), ids=SAME_REGISTRIES)
def test_one_model_in_one_registry_is_no_other_environment(
    mlops: Rooms,
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: dict[str, str],
    model: str,
) -> None:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    environments = Environments(mlops, tmp_path, empty_database, between=False)
    (tmp_path / "alias.db").symlink_to("staging.db")
    shutil.copy(empty_database, tmp_path / "other.db")
    there = {key: uri.format(tmp_path) for key, uri in server.items()}
    environments.ends[1] = environments.end("production", None, model, **there)
    environments.train(50.0)
    if model == "sales_staging":
        with pytest.raises(mlops("errors").TrackingError, match="the same registered model, sales"):
            environments.promote()
        assert len(environments.staging.search_model_versions("name = 'sales_staging'")) == 1
        return
    assert environments.promote().promoted
    assert environments.there()["aliases"] == {"champion": "1"}
    assert len(environments.staging.search_runs(["1"])) == 1


def test_a_version_in_a_registry_of_its_own_keeps_its_files_whatever_is_pruned(
    mlops: Rooms, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("registry.comparison"), "registered_pipelines", lambda: PIPELINES)
    environments = Environments(mlops, tmp_path, empty_database, between=False)
    shutil.copy(empty_database, tmp_path / "registry.db")
    registry = {"mlflow_registry_uri": f"sqlite:///{tmp_path}/registry.db"}
    environments.ends[1] = environments.end("production", None, "sales_staging", **registry)
    environments.train(50.0)
    for said in ("is the champion now", "is the champion already"):
        assert said in environments.promote().summary
    (version,) = environments.production.search_model_versions("name = 'sales_staging'")
    (run,) = environments.staging.search_runs(["1"])
    assert version.run_id == run.info.run_id
    environments.staging.delete_registered_model_alias("sales_staging", "champion")
    retention, here = mlops("registry.retention"), environments.ends[0].config
    old = list(retention.find_old(here, environments.state, -1))
    assert [each.kind for each in old] == ["version"]
    for each in old:
        each.delete()
    folder = mlops("registry.versions").download(version, environments.ends[1].config.server)
    assert (folder / "weights.txt").read_text() == "50.0"
