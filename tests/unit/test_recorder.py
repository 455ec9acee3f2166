"""What is written down of a run, by whichever process: nodes, inputs, metrics, secrets masked."""

from __future__ import annotations

import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_datasets.pandas import CSVDataset

from tests.support.rooms import Rooms


def double(table: Any, *_: Any) -> Any:
    return table * 2


FIRST = node(double, ["raw", "params:x"], "doubled", name="first")
SECOND = node(partial(double), ["doubled", "other"], "score", name="second")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".kedro_mlflow" / "journal" / "run"


def recorder(mlops: Rooms, folder: Path, **options: Any) -> Any:
    """Open a recorder with these options of `tracking.capture`, which reads the data set `raw`."""
    parsed = mlops("config").TrackingOptions(capture=options)
    inputs = {"raw": {"source": "file:///raw.csv", "type": "CSVDataset", "digest": "d"}}
    return mlops("tracking.capture").RunCapture(folder, parsed, inputs)


def records(mlops: Rooms, folder: Path, kind: str) -> list[Any]:
    every = mlops("tracking.journal").all_records(folder)
    return [record.data for record in every if record.kind == kind]


def test_a_node_is_written_down_with_its_function_data_and_times(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "CANARY"]})
    progress = capture.node_started(FIRST)
    capture.node_called(FIRST, {"raw": table, "params:x": 3})
    progress.work_starts()
    progress.work_ends()
    capture.node_finished(FIRST, {"raw": table, "params:x": 3}, {"doubled": table})
    assert records(mlops, folder, "node") == []
    assert capture.outputs() == {}
    capture.node_ended(progress)
    (written,) = records(mlops, folder, "node")
    assert written["name"] == "first"
    assert written["function"] == "tests.unit.test_recorder.double"
    assert written["source"] == f"{__file__}:{double.__code__.co_firstlineno}"
    assert (written["inputs"], written["outputs"]) == (["raw", "params:x"], ["doubled"])
    assert written["status"] == "FINISHED"
    assert written["process"] == os.getpid()
    seconds = (written["ended_ns"] - written["started_ns"]) / 1e9
    assert 0 <= written["seconds"] == seconds < 60
    assert records(mlops, folder, "params") == [{"values": {"x": "3"}}]
    (read,) = records(mlops, folder, "input")
    assert read["source"] == "file:///raw.csv"
    assert (read["name"], read["rows"]) == ("raw", 2)
    assert [name for name, _ in read["schema"]] == ["a", "b"]
    assert "CANARY" not in "".join(path.read_text() for path in folder.glob("*.jsonl"))
    assert capture.outputs() == {"doubled": ""}


def test_the_source_of_a_function_in_the_project_is_relative_to_it(mlops: Rooms) -> None:
    locate = mlops("tracking.capture.nodes").source_location
    here = Path(__file__)
    line = double.__code__.co_firstlineno
    assert locate(partial(double), here.parent) == f"{here.name}:{line}"
    assert locate(len, here.parent) is None


def test_a_failed_node_is_written_down_with_its_reason_and_no_password(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    progress = capture.node_started(FIRST)
    capture.node_ended(progress, ValueError("no postgresql://me:CANARY@host\nmore"))
    (written,) = records(mlops, folder, "node")
    assert written["status"] == "FAILED"
    assert written["error"] == "ValueError: no postgresql://********@host"
    assert records(mlops, folder, "input") == []  # It has not read any.
    assert capture.outputs() == {}


def test_metrics_of_a_node_are_one_record_and_odd_numbers_survive(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    capture.node_finished(SECOND, {}, {"score": {"loss": [1.0, float("inf")]}, "n": float("nan")})
    (metrics,) = records(mlops, folder, "metrics")
    np.testing.assert_equal(
        metrics["values"],
        [["score/loss", 1.0, 0], ["score/loss", float("inf"), 1], ["n", float("nan"), 0]],
    )


def test_a_figure_that_the_catalog_has_drawn_is_copied_as_soon_as_it_is_there(
    mlops: Rooms, folder: Path, tmp_path: Path
) -> None:
    drawn = tmp_path / "plot.png"
    options = mlops("config").TrackingOptions()
    figures = {"doubled": str(drawn), "score": str(tmp_path / "missing.png")}
    capture = mlops("tracking.capture").RunCapture(folder, options, figures=figures)
    drawn.write_bytes(b"first")
    capture.node_started(FIRST)
    for name in ("doubled", "other"):
        capture.dataset_saved(FIRST, name)
    capture.dataset_saved(SECOND, "score")
    drawn.write_bytes(b"of a later run")
    (kept,) = records(mlops, folder, "artifact")
    assert (Path(kept["path"]).name, kept["folder"]) == ("doubled.png", "figures")
    assert Path(kept["path"]).read_bytes() == b"first"


def test_an_output_that_cannot_be_captured_costs_neither_run_nor_other_outputs(
    mlops: Rooms, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("broken")

    capture = recorder(mlops, folder)
    with caplog.at_level(logging.WARNING):
        capture.node_finished(SECOND, {}, {"bad": Broken(a=1), "good": 1})
    assert "'bad' is not tracked: broken" in caplog.text
    assert records(mlops, folder, "metrics")[0]["values"] == [["good", 1.0, 0]]


def test_a_worker_joins_with_the_same_options_and_inputs(mlops: Rooms, folder: Path) -> None:
    first = recorder(mlops, folder, models=False)
    config = mlops("config").KedroMlflowConfig(
        tracking={"capture": {"models": False}}, redaction={"patterns": ["^customer"]}
    )
    first._secrets = config.redaction.patterns
    first.journal.create()
    (folder / "run.json").write_text(json.dumps(first.shared(config)))
    given = []

    def listeners_of(config: Any, state: Any) -> list[Any]:
        given.append((config.tracking.capture, state.folder))
        return ["listener"]

    joined = mlops("tracking.capture").RunCapture.join(folder, listeners_of)
    assert [each.pattern for each in joined._secrets] == ["^customer"]
    assert joined.shared(config) == first.shared(config)
    assert given == [(config.tracking.capture, folder.parents[1])]
    assert joined.listeners == ["listener"]


def test_inputs_are_told_by_place_and_content_without_credentials(
    mlops: Rooms, tmp_path: Path
) -> None:
    path = tmp_path / "raw.csv"
    path.write_text("a\n1\n")
    remote = "https://me:CANARY@host/other.csv?signature=CANARY"
    catalog = DataCatalog(
        {
            "raw": CSVDataset(filepath=path.as_posix()),
            "other": CSVDataset(filepath=remote),
            "params:x": MemoryDataset(3),
        }
    )
    describe = mlops("tracking.capture.inputs").describe_inputs
    nodes = pipeline([FIRST, SECOND])
    described = describe(nodes, catalog)
    assert list(described) == ["other", "raw"]
    assert described["raw"]["source"] == path.as_uri()
    assert described["other"]["source"].endswith("host/other.csv")
    assert "CANARY" not in str(described)
    digest = described["raw"]["digest"]
    assert describe(nodes, catalog)["raw"]["digest"] == digest
    path.write_text("a\n2\n")
    assert describe(nodes, catalog)["raw"]["digest"] != digest
    patterns = mlops("config").RedactionOptions(patterns=["^oth"]).patterns
    assert describe(nodes, catalog, patterns)["other"]["source"] == "********"


def test_a_large_input_is_told_by_size_start_and_end(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = mlops("tracking.capture.inputs")
    monkeypatch.setattr(inputs, "_WHOLE_BYTES", 10)
    monkeypatch.setattr(inputs, "_PART_BYTES", 4)
    path = tmp_path / "large"
    digests = []
    for content in (
        b"startXXXXmiddleXXXXend!",
        b"startXXXXMIDDLEXXXXend!",
        b"startXXXXmiddleXXXXEND!",
    ):
        path.write_bytes(content)
        digests.append(inputs.digest_of(path))
    assert digests[0] == digests[1] != digests[2]


def test_the_record_of_a_run_says_what_ran_on_what_and_how_it_ended(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    tags = {
        "kedro.run_id": "r",
        "kedro.pipelines": "a, b",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.source.git.dirty": "true",
    }
    capture.journal.append("run_started", name="a, b", tags=tags)
    capture.node_called(FIRST, {"raw": pd.DataFrame({"a": [1]})})
    capture.node_ended(capture.node_started(FIRST))
    progress = capture.node_started(SECOND)
    write = mlops("tracking.capture.nodes").write_run_record
    journal = mlops("tracking.journal")
    ends = [journal.Record("run_ended", journal.now(), {"status": s}) for s in ("KILLED", "FAILED")]
    killed = json.loads(write(folder, ends[0]).read_text())
    assert killed["status"] == "KILLED"
    capture.node_ended(progress, ValueError("no"))
    record = json.loads(write(folder, ends[1]).read_text())
    assert (record["run_id"], record["status"]) == ("r", "FAILED")
    assert record["pipelines"] == ["a", "b"]
    assert record["git"] == {"commit": "c0ffee", "dirty": True}
    assert record["ended"] >= record["started"]
    assert [each["name"] for each in record["inputs"]] == ["raw"]
    for content, statuses in (
        (killed, ["FINISHED", "UNFINISHED"]),
        (record, ["FINISHED", "FAILED"]),
    ):
        assert [each["name"] for each in content["nodes"]] == ["first", "second"]
        assert [each["status"] for each in content["nodes"]] == statuses
    assert record["nodes"][0]["seconds"] >= 0
    assert killed["nodes"][1]["seconds"] is None
