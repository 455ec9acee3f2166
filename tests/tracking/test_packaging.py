"""What of a project's code goes into a model."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.tracking.conftest import Tracking


def folders(code: Path) -> set[str]:
    return {path.parent.relative_to(code).as_posix() for path in code.rglob("*.py")}


def test_what_runs_tracks_and_serves_stays_out_of_a_model(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging = tracking("pipeline_model.packaging")
    for name in ("deployment", "serving"):  # Other tests have imported them.
        monkeypatch.delitem(sys.modules, f"{packaging.PACKAGE}.{name}", raising=False)
    copied = folders(packaging.copy_code(tmp_path))
    unused = ("commands", "serving", "tracking/shipping", "tracking/capture", "updating")
    assert {".", "pipelines/inference", "tracking", "tracking/pipeline_model"} <= copied
    assert not {name for name in copied if name.startswith(unused)}


def test_a_folder_of_the_owners_that_the_pipeline_imports_goes_into_it(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging = tracking("pipeline_model.packaging")
    monkeypatch.setitem(sys.modules, f"{packaging.PACKAGE}.serving", ModuleType("serving"))
    assert "serving" in folders(packaging.copy_code(tmp_path))
