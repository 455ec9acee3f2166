"""What `kedro mlflow prune` finds: what is old and not in use, and nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.rooms import Rooms

DAY = 86_400


class Registry:
    """A project's folder and its MLflow, with a version of `sales` for each run that is made."""

    def __init__(self, mlops: Rooms, database: str, folder: Path) -> None:
        model = {"name": "sales", "pipeline": "inference", "input": "rows"}
        server = {"mlflow_tracking_uri": database}
        tracking = {"experiment": {"name": "sales"}}
        content = {"server": server, "model": model, "tracking": tracking}
        self.config = mlops("config").parse_config(content)
        self.client: MlflowClient = mlops("backend.client").connect(self.config.server)
        self.folder, self.state = folder, mlops("project").State.of(folder)
        self.state.holdouts.mkdir(parents=True)
        self._experiment = self.client.create_experiment("sales", (folder / "files").as_uri())
        for name in ("sales", "other"):
            self.client.create_registered_model(name)

    def run(self, status: str = "FINISHED", days: int = 0, **tags: str) -> str:
        """Log a run with a file, which has ended so many days ago, and return its id."""
        run_id = str(self.client.create_run(self._experiment, tags=tags).info.run_id)
        self.client.log_text(run_id, "{}", "file.json")
        self.client.set_terminated(run_id, status, int((time.time() - days * DAY) * 1000))
        return run_id

    def version(self, name: str = "sales", days: int = 0) -> Any:
        """Register a version, of a run that was measured on a holdout of its own."""
        run_id = self.run(days=days)
        self.client.set_tag(run_id, "holdout.digest", run_id)
        holdout = self.state.holdouts / f"{run_id}.pickle"
        holdout.touch()
        os.utime(holdout, (time.time() - days * DAY,) * 2)
        return self.client.create_model_version(name, str(self.folder), run_id)

    def named(self, path: str, text: str) -> None:
        """Write a file of a deployment."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, "utf-8")


@pytest.fixture
def registry(mlops: Rooms, database: str, tmp_path: Path) -> Registry:
    return Registry(mlops, database, tmp_path)


@pytest.fixture
def old(
    mlops: Rooms, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Any]]:
    """Find what is more than 90 days old, once so many days have passed."""
    module = mlops("registry.retention")

    def find(after: int = 100) -> list[Any]:
        now = time.time() + after * DAY
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now, **CLOCK))
        return list(module.find_old(registry.config, registry.state, 90))

    return find


CLOCK = {"strftime": time.strftime, "gmtime": time.gmtime}


def kinds(found: list[Any]) -> list[str]:
    return sorted(each.kind for each in found)


Use = Callable[[Registry, str], object]
USED: dict[str, Use] = {
    "the champion": lambda at, n: at.client.set_registered_model_alias("sales", "champion", n),
    "an alias": lambda at, n: at.client.set_registered_model_alias("sales", "of_the_team", n),
    "was deployed": lambda at, n: at.client.set_model_version_tag("sales", n, "deployed_at", "x"),
    "on Kubernetes": lambda at, n: at.named(
        "deploy/kubernetes/overlays/staging/kustomization.yaml", f"  - newTag: '{n}'\n"
    ),
    "on SageMaker": lambda at, n: at.named(
        "deploy/sagemaker/endpoint.json", f'{{"model_version": "{n}"}}'
    ),
}
UNUSED: dict[str, Use] = {
    "not in use": lambda at, n: None,
    "of a pull request": lambda at, n: at.client.set_registered_model_alias(
        "sales", "pull_request_7", n
    ),
    "of a merge request": lambda at, n: at.client.set_registered_model_alias(
        "sales", "merge_request_7", n
    ),
    "a tag of another image": lambda at, n: at.named(
        "deploy/kubernetes/kustomization.yaml", f"  - tag: '{n}'\n"
    ),
}


@pytest.mark.parametrize("use", USED)
def test_a_version_that_is_in_use_stays_with_its_files_and_its_holdout(
    registry: Registry, old: Callable[..., list[Any]], use: str
) -> None:
    USED[use](registry, registry.version().version)
    assert old() == []


@pytest.mark.parametrize("use", UNUSED)
def test_any_other_goes_with_them(
    registry: Registry, old: Callable[..., list[Any]], use: str
) -> None:
    UNUSED[use](registry, registry.version().version)
    assert old(after=90) == []
    assert kinds(old(after=91)) == ["files of a run", "holdout", "version"]


def test_the_way_back_from_the_champion_stays_and_that_of_an_earlier_one_goes(
    registry: Registry, old: Callable[..., list[Any]]
) -> None:
    numbers = [str(registry.version().version) for _ in range(3)]
    for number, before in zip(numbers[1:], numbers, strict=False):
        registry.client.set_model_version_tag("sales", number, "promoted_from", before)
    registry.client.set_registered_model_alias("sales", "champion", numbers[-1])
    assert [each.name for each in old() if each.kind == "version"] == numbers[:1]


KEPT_RUNS: dict[str, Callable[[Registry], object]] = {
    "another model has a version of it": lambda at: at.version("other", days=50),
    "it is under way": lambda at: at.run("RUNNING", days=50),
    "its files are gone": lambda at: at.run(days=50, pruned="2026-01-01"),
    "it is young": lambda at: at.run(days=10),
}


def test_a_young_version_of_an_old_run_stays_with_its_holdout(
    registry: Registry, old: Callable[..., list[Any]]
) -> None:
    """As `kedro mlflow register` makes one."""
    registry.version(days=50)
    assert old(after=80) == []


@pytest.mark.parametrize("case", KEPT_RUNS)
def test_files_of_a_run_stay(registry: Registry, old: Callable[..., list[Any]], case: str) -> None:
    KEPT_RUNS[case](registry)
    assert "files of a run" not in kinds(old(after=80))


def test_files_and_models_of_a_run_are_deleted_and_the_rest_of_it_stays(
    registry: Registry, old: Callable[..., list[Any]]
) -> None:
    client, run_id = registry.client, registry.run("FAILED", why="kept")
    client.log_metric(run_id, "rmse", 3.0)
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, "model", source_run_id=run_id)
    place = Path(model.artifact_location.removeprefix("file://"))
    place.mkdir(parents=True)
    (place / "model.pickle").touch()
    (found,) = old()
    found.delete()
    assert client.list_artifacts(run_id) == []
    assert client.search_logged_models([experiment]) == []
    assert not (place / "model.pickle").exists()
    run = client.get_run(run_id).data
    assert (run.metrics["rmse"], run.tags["why"]) == (3.0, "kept")
    assert old() == []


def test_a_run_that_somebody_has_deleted_the_files_of_is_no_error(
    registry: Registry, old: Callable[..., list[Any]]
) -> None:
    registry.run()
    shutil.rmtree(registry.folder / "files")
    (found,) = old()
    found.delete()
    assert old() == []


def test_all_pages_of_runs_are_looked_at(
    mlops: Rooms,
    registry: Registry,
    old: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlops("backend.client"), "_PAGE", 2)
    wanted = {registry.run() for _ in range(5)}
    assert {each.name.rpartition("(")[2].rstrip(")") for each in old()} == wanted


def test_what_is_kept_here_of_runs_goes_by_its_age_unless_it_waits(
    registry: Registry, old: Callable[..., list[Any]]
) -> None:
    state, days = registry.state, {"new": 1, "old": -1}
    for folder in (state.journals, state.refused, state.unregistered):
        for name, age in days.items():
            path = folder / name / "run.json"
            path.parent.mkdir(parents=True)
            path.write_text("{}", "utf-8")
            then = time.time() + age * DAY
            os.utime(path, (then, then))
    found = old(after=91)
    assert [(each.kind, each.name) for each in found] == [
        ("refused run", "old"),
        ("unregistered run", "old"),
    ]
    for each in found:
        each.delete()
    assert sorted(path.parent.name for path in state.folder.glob("*/*/run.json")) == [
        *(["new"] * 3),
        "old",
    ]
    assert (state.journals / "old").is_dir()
