"""What of a project's code goes into a model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset

from tests.support.rooms import Rooms


def folders(code: Path) -> set[str]:
    return {path.parent.relative_to(code).as_posix() for path in code.rglob("*.py")}


def test_what_runs_tracks_and_serves_stays_out_of_a_model(mlops: Rooms, tmp_path: Path) -> None:
    copied = folders(mlops("model.packaging").copy_code(tmp_path))
    assert copied == {
        # The owner's pipelines are beside it in a project, and elsewhere in the template.
        *(".", "mlops", "mlops/model", "mlops/redaction", "mlops/validation"),
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


@pytest.mark.parametrize("cached", [True, False])
def test_a_fitted_data_set_is_copied_in_its_own_format_also_behind_a_cache(
    mlops: Rooms, tmp_path: Path, cached: bool
) -> None:
    entry: dict[str, Any] = {
        "type": "pandas.CSVDataset",
        "filepath": str(tmp_path / "fitted.csv"),
        "save_args": {"sep": ";", "index": False},
        "load_args": {"sep": ";"},
    }
    if cached:
        entry = {"type": "CachedDataset", "dataset": entry}
    catalog = DataCatalog.from_config({"fitted": entry})
    catalog["fitted"].save(pd.DataFrame({"x": [1], "y": [2]}))
    copied, path = mlops("model.parts").copy_dataset("fitted", catalog, tmp_path / "model")
    assert Path(path).read_text("utf-8") == "x;y\n1;2\n"
    assert copied["type"].endswith("CSVDataset")
    assert copied["save_args"] == {"sep": ";", "index": False}
    assert "filepath" not in copied


def test_a_fitted_data_set_without_a_file_is_named(mlops: Rooms, tmp_path: Path) -> None:
    catalog = DataCatalog({"fitted": MemoryDataset(1)})
    with pytest.raises(mlops("errors").TrackingError, match=r"'fitted' .* has no file"):
        mlops("model.parts").copy_dataset("fitted", catalog, tmp_path)


def test_a_requirement_that_is_not_installed_is_named(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging = mlops("model.packaging")
    project = SimpleNamespace(requires=["pandas", "nothing-of-this-name>=1"])
    monkeypatch.setattr(packaging, "_distribution", lambda: project)
    with pytest.raises(
        mlops("errors").TrackingError, match=r"requires nothing-of-this-name, which"
    ):
        packaging.project_requirements()
