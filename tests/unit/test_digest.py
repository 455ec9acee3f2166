"""A version's files are those that were registered, or are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from tests.support.rooms import Rooms

MLMODEL = """\
run_id: r1
model_id: m-1
model_uuid: m-1
artifact_path: file:///here
flavors: {python_function: {config: {datasets: {state: {type: json.JSONDataset}}}, env: conda}}
signature: {inputs: '[{"type": "double", "name": "x"}]'}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name in ("artifacts/state.json", "code/sales/nodes.py", "requirements.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name}", encoding="utf-8")
    (folder / "MLmodel").write_text(MLMODEL, encoding="utf-8")
    return folder


def write(name: str, text: str = "other") -> Callable[[Path], object]:
    def change(model: Path) -> None:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(text, encoding="utf-8")

    return change


def in_mlmodel(old: str, new: str) -> Callable[[Path], object]:
    assert old in MLMODEL
    return write("MLmodel", MLMODEL.replace(old, new))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a fitted file": write("artifacts/state.json"),
    "its last byte": lambda model: (model / "requirements.txt").open("a").write("\n"),
    "code": write("code/sales/nodes.py"),
    "more code": write("code/sales/more.py"),
    "a module beside": write("code/json.py"),
    "a file less": lambda model: (model / "requirements.txt").unlink(),
    "another name": lambda model: (model / "requirements.txt").rename(model / "needed.txt"),
    "two files swapped": lambda model: [
        write("artifacts/state.json", "of requirements.txt")(model),
        write("requirements.txt", "of artifacts/state.json")(model),
    ],
    "a class": in_mlmodel("json.JSONDataset", "pickle.PickleDataset"),
    "the signature": in_mlmodel("double", "string"),
    "a flavor": in_mlmodel("{python_function", "{sklearn: {}, python_function"),
}
SAME: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "another server's ids": write(
        "MLmodel", MLMODEL.replace("m-1", "m-2").replace("r1", "r2").replace("here", "there")
    ),
    "another order": write("MLmodel", "\n".join(reversed(MLMODEL.strip().split("\n")))),
    "another order in it": in_mlmodel(
        "{config: {datasets: {state: {type: json.JSONDataset}}}, env: conda}",
        "{env: conda, config: {datasets: {state: {type: json.JSONDataset}}}}",
    ),
    "MLflow's note": write("registered_model_meta"),
    "Python's caches": write("code/sales/__pycache__/nodes.cpython-311.pyc"),
    "another folder": lambda model: shutil.copytree(model, model.parent / "__pycache__/copy"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_decides_a_prediction_changes_the_digest(
    mlops: Rooms, model: Path, change: Callable[[Path], object]
) -> None:
    digest = mlops("registry.digest")
    registered = {digest.DIGEST_TAG: digest.digest_of(model)}
    version = SimpleNamespace(name="sales", version="4", tags=registered)
    digest.require_registered(version, model)
    change(model)
    with pytest.raises(mlops("errors").TrackingError, match=r"'sales', version 4, are not those"):
        digest.require_registered(version, model)


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_every_loading_or_migration_changes_does_not(
    mlops: Rooms, model: Path, change: Callable[[Path], object]
) -> None:
    digest = mlops("registry.digest")
    before = digest.digest_of(model)
    change(model)
    copy = model.parent / "__pycache__/copy"
    assert digest.digest_of(copy if copy.exists() else model) == before


def test_the_order_in_which_a_disk_lists_files_does_not_count(
    mlops: Rooms, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = mlops("registry.digest")
    before, listed = digest.digest_of(model), sorted(model.rglob("*"))
    for order in (listed, listed[::-1]):
        monkeypatch.setattr(Path, "rglob", lambda *_, order=order: iter(order))
        assert digest.digest_of(model) == before


@pytest.mark.parametrize("tags", [{}, None, {"model_digest": ""}])
def test_a_version_that_has_none_is_not_judged(
    mlops: Rooms, model: Path, tags: dict[str, str] | None
) -> None:
    version = SimpleNamespace(name="sales", version="4", tags=tags)
    mlops("registry.digest").require_registered(version, model)


@pytest.mark.parametrize("is_here", [True, False])
def test_byte_code_of_a_store_is_thrown_away(
    mlops: Rooms, model: Path, monkeypatch: pytest.MonkeyPatch, is_here: bool
) -> None:
    """Python would run it in place of the source, whose digest was checked."""
    cache = model / "code/sales/__pycache__"
    cache.mkdir()
    (cache / "nodes.cpython-311.pyc").touch()
    kind = LocalArtifactRepository if is_here else HttpArtifactRepository
    repository = kind(model.as_uri() if is_here else "http://127.0.0.1:1/model")
    monkeypatch.setattr(repository, "download_artifacts", lambda _: str(model))
    registry = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"
    monkeypatch.setattr(registry, lambda *_: repository)
    monkeypatch.setattr(mlops("backend.artifacts"), "connect", lambda _: None)
    server = mlops("config").ServerOptions(mlflow_tracking_uri="sqlite:///mlflow.db")
    assert mlops("backend.artifacts").download("s3://bucket/model", server) == model
    assert cache.exists() is is_here
    assert (model / "code/sales/nodes.py").is_file()
