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
from kedro.pipeline import node
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.partitions import PartitionedDataset
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge

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
    flat = {"dict_params": {"flatten": True}}
    parsed = mlops("config").KedroMlflowConfig(tracking={"capture": options, "params": flat})
    return mlops("tracking.capture").RunCapture(folder, parsed, ["raw"])


class Somewhere(MemoryDataset):
    """Data of which the place is known."""

    _filepath = "/somewhere/raw.csv"


CATALOG = DataCatalog(
    {"raw": Somewhere()} | {name: MemoryDataset() for name in ("doubled", "score")}
)


def records(mlops: Rooms, folder: Path, kind: str) -> list[Any]:
    every = mlops("tracking.journal").all_records(folder)
    return [record.data for record in every if record.kind == kind]


def test_a_node_is_written_down_with_its_function_data_and_times(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "CANARY"]})
    progress = capture.node_started(FIRST)
    capture.node_called(FIRST, {"raw": table, "params:x": 3}, CATALOG)
    progress.work_starts()
    progress.work_ends()
    table["c"] = 1  # A node may change what it reads.
    capture.node_finished(FIRST, {"doubled": table})
    assert records(mlops, folder, "node") == []
    assert dict(capture.outputs()) == {}
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
    capture.node_called(FIRST, {"raw": table, "params:x": 3}, CATALOG)
    (read,) = records(mlops, folder, "input")
    assert (read["source"], read["type"]) == ("/somewhere/raw.csv", "Somewhere")
    assert (read["name"], read["rows"]) == ("raw", 2)
    assert [name for name, _ in read["schema"]] == ["a", "b"]
    assert "CANARY" not in "".join(path.read_text() for path in folder.glob("*.jsonl"))
    assert dict(capture.outputs()) == {"doubled": ""}


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
    assert dict(capture.outputs()) == {}


def test_metrics_of_a_node_are_one_record_and_odd_numbers_survive(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    capture.node_finished(SECOND, {"score": {"loss": [1.0, float("inf")]}, "n": float("nan")})
    (metrics,) = records(mlops, folder, "metrics")
    np.testing.assert_equal(
        metrics["values"],
        [["score/loss", 1.0, 0], ["score/loss", float("inf"), 1], ["n", float("nan"), 0]],
    )


def figures_of(mlops: Rooms, folder: Path, value: Any, dataset: Any, **options: Any) -> Any:
    """Let a node return figures and the catalog save them; what the run keeps."""
    parsed = mlops("config").KedroMlflowConfig(tracking=options)
    capture = mlops("tracking.capture").RunCapture(folder, parsed)
    catalog = DataCatalog({"doubled": dataset})
    capture.node_called(FIRST, {}, catalog)
    capture.node_finished(FIRST, {"doubled": value})
    dataset.save(value)
    capture.dataset_saved(FIRST, "doubled", value)
    kept = {}
    for data in records(mlops, folder, "artifact"):
        path = Path(data["path"])
        assert path.read_bytes()
        kept[f"{data['folder']}/{path.name}"] = path.stat().st_ino
    return sorted(kept)


TWO = {"age.png": Figure(), "bmi": Figure()}


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (Figure(), ["doubled.png"]),
        (TWO, ["doubled/age.png", "doubled/bmi.png"]),
        ({"by": TWO, "rmse": 1.0}, ["doubled/by/age.png", "doubled/by/bmi.png"]),
        ([Figure(), Figure(), "text"], ["doubled/0.png", "doubled/1.png"]),
        ((Figure(),), ["doubled/0.png"]),
        ({"a@": Figure(), "a#": Figure()}, ["doubled/a_.png", "doubled/a__2.png"]),
        ({"a": Figure(), "A": Figure()}, ["doubled/A_2.png", "doubled/a.png"]),
        ({"../a": Figure(), "b:c/d": Figure()}, ["doubled/_._a.png", "doubled/b_c_d.png"]),
        ({"x" * 300: Figure()}, [f"doubled/{'x' * 100}.png"]),
        ({"lazy": Figure}, []),
    ],
)
def test_figures_in_dictionaries_and_lists_are_kept(
    mlops: Rooms, folder: Path, value: Any, files: list[str]
) -> None:
    kept = figures_of(mlops, folder, value, MemoryDataset(copy_mode="assign"))
    assert kept == [f"figures/{file}" for file in files]


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (Figure(), ["doubled"]),
        ({"age.png": Figure(), "bmi.svg": Figure()}, ["doubled/age.png", "doubled/bmi.svg"]),
        ([Figure(), Figure()], ["doubled/0.png", "doubled/1.png"]),
    ],
)
def test_figures_that_the_catalog_has_drawn_are_copied(
    mlops: Rooms, folder: Path, tmp_path: Path, value: Any, files: list[str]
) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "of_an_earlier_run.png").touch()
    path = tmp_path / ("plots" if len(files) > 1 else "plot")
    dataset = MatplotlibDataset(filepath=path.as_posix())
    assert figures_of(mlops, folder, value, dataset) == [f"figures/{file}" for file in files]


@pytest.mark.parametrize("is_lazy", [False, True])
def test_figures_in_partitions_are_copied(
    mlops: Rooms, folder: Path, tmp_path: Path, is_lazy: bool
) -> None:
    parts: dict[str, Any] = {"age": Figure(), "deep/bmi": Figure()}
    if is_lazy:
        parts = {name: partial(Figure) for name in parts}
    dataset = PartitionedDataset(
        path=tmp_path.as_posix(), dataset=MatplotlibDataset, filename_suffix=".png"
    )
    kept = figures_of(mlops, folder, parts, dataset)
    assert kept == ["figures/doubled/age.png", "figures/doubled/deep_bmi.png"]


def test_of_very_many_figures_some_are_kept(
    mlops: Rooms, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many, assign = [Figure() for _ in range(3)], MemoryDataset(copy_mode="assign")
    with caplog.at_level(logging.INFO):
        kept = figures_of(mlops, folder, many, assign, artifacts={"max_files": 2})
    assert kept == ["figures/doubled/0.png", "figures/doubled/1.png"]
    assert "'doubled', 2 of 3 figures are kept" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert len(figures_of(mlops, folder, many, assign, artifacts={"max_files": 3})) >= 3
    assert "figures are kept" not in caplog.text


def test_what_is_left_out_of_an_output_is_said(
    mlops: Rooms, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    capture = recorder(mlops, folder)
    with caplog.at_level(logging.INFO):
        capture.node_finished(SECOND, {"score": {"rmse": 1.5, "best": "ridge"}, "text": "x"})
    assert "Not tracked of the output 'score': best (str)." in caplog.text
    assert caplog.text.count("Not tracked") == 1


def test_outputs_of_one_name_to_mlflow_have_metrics_of_their_own(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    capture.node_finished(FIRST, {"a@x": 1.0})
    capture.node_finished(SECOND, {"a#x": 2.0, "a@x": 3.0})
    metrics = records(mlops, folder, "metrics")
    names = [name for each in metrics for name, _, _ in each["values"]]
    assert names == ["a_x", "a_x_2", "a_x"]


def test_parameters_of_one_name_to_mlflow_have_names_of_their_own(
    mlops: Rooms, folder: Path
) -> None:
    capture = recorder(mlops, folder)
    names = ["params:hit@5", "params:hit#5", "params:model", "params:model.alpha"]
    values = dict(zip(names, (1, 2, {"alpha": 3}, 3), strict=True))
    for name in names:  # Each in a node of its own.
        capture.node_called(node(double, name, "score", name="n"), {name: values[name]}, CATALOG)
    texts = [each["values"] for each in records(mlops, folder, "params")]
    assert texts == [{"hit_5": "1"}, {"hit_5_2": "2"}, {"model.alpha": "3"}, {"model.alpha": "3"}]


def test_very_many_metrics_are_several_records(
    mlops: Rooms, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlops("tracking.capture"), "_METRICS_PER_RECORD", 4)
    capture = recorder(mlops, folder)
    capture.node_finished(SECOND, {"loss": [0.5] * 10})
    sizes = [len(each["values"]) for each in records(mlops, folder, "metrics")]
    assert sizes == [4, 4, 2]


def test_an_output_that_cannot_be_captured_costs_neither_run_nor_other_outputs(
    mlops: Rooms, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Ridge):
        def fit(self) -> Any:
            return self

        def __reduce__(self) -> Any:
            raise RuntimeError("broken")

    capture = recorder(mlops, folder)
    with caplog.at_level(logging.WARNING):
        capture.node_finished(SECOND, {"bad": Broken().fit(), "good": 1})
    assert "The model 'bad' is not tracked: broken" in caplog.text
    assert records(mlops, folder, "metrics")[0]["values"] == [["good", 1.0, 0]]


def test_a_worker_joins_with_the_same_options_and_inputs(mlops: Rooms, folder: Path) -> None:
    config = mlops("config").KedroMlflowConfig(
        tracking={"capture": {"models": False}}, redaction={"patterns": ["^customer"]}
    )
    first = mlops("tracking.capture").RunCapture(folder, config, ["raw"])
    first.journal.create()
    first.describe()
    described = (folder / "run.json").read_text()
    given = []

    def listeners_of(config: Any, state: Any) -> list[Any]:
        given.append((config.tracking.capture, state.folder))
        return ["listener"]

    joined = mlops("tracking.capture").RunCapture.join(folder, listeners_of)
    joined.describe()
    assert (folder / "run.json").read_text() == described
    assert joined.config.redaction == config.redaction
    assert given == [(config.tracking.capture, folder.parents[1])]
    assert joined.listeners == ["listener"]
    assert [each.pattern for each in joined._secrets] == ["^customer"]


def test_inputs_are_told_by_place_and_content_without_credentials(
    mlops: Rooms, tmp_path: Path
) -> None:
    path = tmp_path / "raw.csv"
    path.write_text("a\n1\n")
    raw = CSVDataset(filepath=path.as_posix())
    other = CSVDataset(filepath="https://me:CANARY@host/other.csv?signature=CANARY")
    describe = mlops("tracking.capture.inputs").describe_input
    described = describe("raw", raw)
    assert (described["source"], described["type"]) == (path.as_uri(), "CSVDataset")
    assert describe("raw", raw)["digest"] == described["digest"]
    path.write_text("a\n2\n")
    assert describe("raw", raw)["digest"] != described["digest"]
    far = describe("other", other)
    assert far["source"].endswith("host/other.csv")
    assert "CANARY" not in str(far)
    patterns = mlops("config").RedactionOptions(patterns=["^oth"]).patterns
    assert describe("other", other, patterns)["source"] == "********"
    nowhere = {"source": None, "type": "MemoryDataset", "digest": None}
    assert describe("memory", MemoryDataset(3)) == nowhere


class Broken(MemoryDataset):
    """It does not even say where its data are."""

    @property
    def _filepath(self) -> str:
        raise RuntimeError("broken")


def test_an_input_that_cannot_be_described_costs_neither_run_nor_other_inputs(
    mlops: Rooms, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parsed = mlops("config").KedroMlflowConfig()
    capture = mlops("tracking.capture").RunCapture(folder, parsed, ["other", "raw"])
    catalog = DataCatalog({"raw": Somewhere(), "other": Broken()})
    both = node(double, ["other", "raw"], "score", name="both")
    capture.node_called(both, {"other": 1, "raw": 2}, catalog)
    assert [each["name"] for each in records(mlops, folder, "input")] == ["raw"]
    assert "The input 'other' is not tracked: broken" in caplog.text


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
    capture.node_called(FIRST, {"raw": pd.DataFrame({"a": [1]})}, CATALOG)
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
