"""Files of data sets are kept with the run: those that a rule names, and what this run wrote."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset

from tests.support.rooms import Rooms

TABLE = pd.DataFrame({"a": [1, 2]})


def entry(path: Path, **more: Any) -> dict[str, Any]:
    return {"type": "pandas.CSVDataset", "filepath": path.as_posix(), **more}


def captured(
    mlops: Rooms, folder: Path, catalog: DataCatalog, started: int = 0, **options: Any
) -> dict[str, Path]:
    """Capture artifacts of all data sets in a catalog: the copies by their place in the run."""
    journal = mlops("tracking.journal").Journal(folder)
    parsed = mlops("config").ArtifactsOptions(**options)
    mlops("tracking.capture.artifacts").capture_artifacts(
        journal, catalog, [(name, "") for name in catalog], parsed, started
    )
    records = [record.data for record in mlops("tracking.journal").all_records(folder)]
    return {f"{data['folder']}/{Path(data['path']).name}": Path(data["path"]) for data in records}


def test_data_sets_are_kept_by_pattern_or_by_their_own_metadata(
    mlops: Rooms, tmp_path: Path
) -> None:
    kept, left_out = {"mlflow": {"artifact": True}}, {"mlflow": {"artifact": False}}
    catalog = DataCatalog.from_config(
        {
            "report": entry(tmp_path / "report.csv"),
            "rest": entry(tmp_path / "rest.csv"),
            "own": entry(tmp_path / "own.csv", metadata=kept),
            "cached": {"type": "CachedDataset", "dataset": entry(tmp_path / "cached.csv")},
            "report_not": entry(tmp_path / "not.csv", metadata=left_out),
        }
    )
    for name in catalog:
        catalog.save(name, TABLE)
    found = captured(mlops, tmp_path / "journal", catalog, datasets=["report*", "cached"])
    assert sorted(found) == [
        "data/cached/cached.csv",
        "data/own/own.csv",
        "data/report/report.csv",
    ]
    assert found["data/own/own.csv"].read_text() == (tmp_path / "own.csv").read_text()


def test_of_a_versioned_data_set_this_runs_version_is_kept(mlops: Rooms, tmp_path: Path) -> None:
    config = {"table": entry(tmp_path / "table.csv", versioned=True)}
    older = DataCatalog.from_config(config, save_version="2020-01-01T00.00.00.000Z")
    older.save("table", TABLE)
    catalog = DataCatalog.from_config(config, save_version="2021-01-01T00.00.00.000Z")
    catalog.save("table", TABLE * 2)
    found = captured(mlops, tmp_path / "journal", catalog, datasets=["*"])
    assert list(found) == ["data/table/table.csv"]
    assert pd.read_csv(found["data/table/table.csv"])["a"].tolist() == [2, 4]


def test_of_a_partitioned_data_set_what_this_run_wrote_is_kept(
    mlops: Rooms, tmp_path: Path
) -> None:
    dataset = {"type": "pandas.CSVDataset"}
    parts = {
        "type": "partitions.PartitionedDataset",
        "path": (tmp_path / "parts").as_posix(),
        "dataset": dataset,
        "filename_suffix": ".csv",
    }
    catalog = DataCatalog.from_config({"parts": parts})
    catalog.save("parts", {"old": TABLE})
    os.utime(tmp_path / "parts" / "old.csv", (1000, 1000))
    catalog.save("parts", {"new": TABLE, "deep/new": TABLE})
    found = captured(mlops, tmp_path / "journal", catalog, started=2_000_000, datasets=["parts"])
    assert sorted(found) == ["data/parts/deep/new.csv", "data/parts/new.csv"]


@pytest.mark.parametrize("store", ["local", "memory"])
def test_object_stores_count_whole_seconds(mlops: Rooms, tmp_path: Path, store: str) -> None:
    import datetime

    import fsspec

    files = fsspec.filesystem(store)
    folder = str(tmp_path / "parts") if store == "local" else f"/{tmp_path.name}/parts"
    files.makedirs(folder, exist_ok=True)
    for name, seconds in (("before", 999), ("same", 1000.2), ("after", 1000.7)):
        files.pipe(f"{folder}/{name}", b"x")
        if store == "local":
            os.utime(f"{folder}/{name}", (seconds, seconds))
        else:
            then = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)
            files.store[f"{folder}/{name}"].modified = then
    find = mlops("tracking.capture.artifacts")._saved_files
    _, saved = find(files, folder, 1_000_500)
    names = [path.rpartition("/")[2] for path in saved]
    assert names == (["after"] if store == "local" else ["after", "same"])


@pytest.mark.parametrize("limit", [{"max_megabytes": 0}, {"max_files": 0}])
def test_above_a_limit_path_size_and_digest_are_kept_instead(
    mlops: Rooms, tmp_path: Path, limit: dict[str, int]
) -> None:
    path = tmp_path / "table.csv"
    catalog = DataCatalog.from_config({"table": entry(path)})
    catalog.save("table", TABLE)
    found = captured(mlops, tmp_path / "journal", catalog, datasets=["*"], **limit)
    assert list(found) == ["data/table.json"]
    content = path.read_bytes()
    assert json.loads(found["data/table.json"].read_text()) == [
        {"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    ]


class Elsewhere(MemoryDataset):
    """As a table of Spark's: it has an address, and no file system that we could ask."""

    _filepath = "s3a://bucket/table"


@pytest.fixture
def store() -> Iterator[str]:
    """An object store, as fsspec has one in memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://bucket"
    files.store.clear()


def test_what_lies_in_an_object_store_is_fetched(mlops: Rooms, tmp_path: Path, store: str) -> None:
    parts: dict[str, Any] = {
        "type": "partitions.PartitionedDataset",
        "path": f"{store}/parts",
    }
    config: dict[str, dict[str, Any]] = {
        "table": {"type": "pandas.CSVDataset", "filepath": f"{store}/table.csv"},
        "versions": {
            "type": "pandas.CSVDataset",
            "filepath": f"{store}/versions.csv",
            "versioned": True,
        },
        "parts": parts | {"dataset": "pandas.CSVDataset", "filename_suffix": ".csv"},
    }
    older = DataCatalog.from_config(config, save_version="2020-01-01T00.00.00.000Z")
    older.save("versions", TABLE)
    older.save("parts", {"old": TABLE})
    files = fsspec.filesystem("memory")
    for path in files.find("/bucket/parts"):
        files.store[path].modified -= timedelta(hours=1)
    catalog = DataCatalog.from_config(config, save_version="2021-01-01T00.00.00.000Z")
    started = time.time_ns() // 1_000_000
    catalog.save("table", TABLE)
    catalog.save("versions", TABLE * 2)
    catalog.save("parts", {"new": TABLE, "deep/new": TABLE})
    found = captured(mlops, tmp_path / "journal", catalog, started, datasets=["*"])
    assert sorted(found) == [
        "data/parts/deep/new.csv",
        "data/parts/new.csv",
        "data/table/table.csv",
        "data/versions/versions.csv",
    ]
    assert pd.read_csv(found["data/table/table.csv"])["a"].tolist() == [1, 2]
    assert pd.read_csv(found["data/versions/versions.csv"])["a"].tolist() == [2, 4]


def test_above_a_limit_an_object_is_told_and_not_fetched(
    mlops: Rooms, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"table": {"type": "pandas.CSVDataset", "filepath": f"{store}/table.csv"}}
    catalog = DataCatalog.from_config(entries)
    catalog.save("table", TABLE)
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", None)
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "open", None)
    found = captured(mlops, tmp_path / "journal", catalog, datasets=["*"], max_megabytes=0)
    assert json.loads(found["data/table.json"].read_text()) == [
        {"path": "memory:///table.csv", "bytes": len(TABLE.to_csv(index=False))}
    ]


def test_what_has_no_file_is_said_and_costs_nothing(
    mlops: Rooms, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config: dict[str, dict[str, Any]] = {
        "memory": {"type": "MemoryDataset"},
        "table": entry(tmp_path / "table.csv"),
    }
    catalog = DataCatalog.from_config(config)
    catalog.save("table", TABLE)
    catalog["elsewhere"] = Elsewhere()
    with caplog.at_level(logging.WARNING):
        found = captured(mlops, tmp_path / "journal", catalog, datasets=["*"])
    assert "'elsewhere' is not tracked: it is not on this machine" in caplog.text
    assert "'memory'" not in caplog.text
    assert list(found) == ["data/table/table.csv"]
