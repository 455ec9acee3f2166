"""What of a project's code goes into a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rooms import Rooms


def folders(code: Path) -> set[str]:
    return {path.parent.relative_to(code).as_posix() for path in code.rglob("*.py")}


def test_what_runs_tracks_and_serves_stays_out_of_a_model(mlops: Rooms, tmp_path: Path) -> None:
    copied = folders(mlops("model.packaging").copy_code(tmp_path))
    assert copied == {
        *(".", "pipelines", "pipelines/training", "pipelines/inference"),
        *("mlops", "mlops/model", "mlops/validation"),
    }


def test_a_folder_of_the_owners_goes_into_it_whatever_its_name(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging = mlops("model.packaging")
    package = tmp_path / "package"
    for name in ("serving", "tracking/shipping", "mlops/serving"):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").touch()
    monkeypatch.setattr(packaging, "PACKAGE_FOLDER", package)
    monkeypatch.setattr(packaging, "TEMPLATE_FOLDER", package / "mlops")
    assert folders(packaging.copy_code(tmp_path / "model")) == {"serving", "tracking/shipping"}
