"""Tasks: how a pipeline is split, what a task leaves out, and how parts are put together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node, pipeline
from kedro_datasets.pickle import PickleDataset

from tests.support.rooms import Rooms


def pass_on(*values: Any) -> Any:
    return values


def step(name: str, inputs: Any, outputs: Any, **more: Any) -> Any:
    return node(pass_on, inputs, outputs, name=name, **more)


CHAIN = Pipeline(
    [
        step("a", "raw", "one"),
        step("b", ["one", "params:x"], "two"),
        step("c", ["one", "two"], "end"),
    ]
)
# What is between a and c is in memory, and b, with files on both sides, comes between them.
AROUND = Pipeline(
    [
        step("a", "raw", ["kept", "lost"]),
        step("b", "kept", "two"),
        step("c", ["lost", "two"], "end"),
    ]
)
INSIDE = pipeline(
    [step("fit", "raw", "model"), step("score", "model", "rate", tags=["cpu-2", "memory-512Mi"])],
    namespace="train",
    inputs="raw",
    outputs="rate",
)
MIXED = Pipeline([INSIDE, step("tell", "rate", "told")])


def catalog_of(*files: str) -> DataCatalog:
    return DataCatalog({name: PickleDataset(filepath=f"{name}.pickle") for name in files})


@pytest.mark.parametrize(
    ("whole", "by", "files", "expected"),
    [
        (CHAIN, "node", ["one", "two"], {"a": [], "b": ["a"], "c": ["a", "b"]}),
        (CHAIN, "memory", ["one", "two"], {"a": [], "b": ["a"], "c": ["a", "b"]}),
        (CHAIN, "memory", ["one"], {"a": [], "b,c": ["a"]}),
        (CHAIN, "memory", [], {"a,b,c": []}),
        (AROUND, "memory", ["kept", "two"], {"a,c,b": []}),
        (MIXED, "namespace", ["rate"], {"train": [], "tell": ["train"]}),
        (MIXED, "node", ["rate"], {"train.fit": [], "train.score": ["train.fit"], "tell": []}),
    ],
)
def test_a_pipeline_is_split(
    mlops: Rooms, whole: Pipeline, by: str, files: list[str], expected: Mapping[str, list[str]]
) -> None:
    found = mlops("orchestration.tasks").tasks_of(whole, catalog_of(*files), by, ["--env", "e"])
    selected = {task.command.split(" ")[-1]: task for task in found}
    assert all(task.command.startswith("kedro run --env e --n") for task in found)
    assert selected.keys() == expected.keys()
    names = {task.name: key for key, task in selected.items()}
    for key, needs in expected.items():
        if needs:
            shown = {names[name].partition(",")[0] for name in selected[key].needs}
            assert shown == set(needs)


def test_tasks_have_names_that_any_orchestrator_takes(mlops: Rooms) -> None:
    whole = Pipeline([step("a.b", "raw", "one"), step("a_b", "raw", "two")])
    found = mlops("orchestration.tasks").tasks_of(whole, catalog_of(), "node")
    assert sorted(task.name for task in found) == ["a_b", "a_b_2"]


def test_a_task_asks_for_the_most_that_a_node_of_it_does(mlops: Rooms) -> None:
    tags = [["cpu-2", "memory-1Gi"], ["cpu-500m", "memory-900Mi", "gpu-1", "cpu-many", "other"]]
    whole = Pipeline([step(str(n), "raw", str(n), tags=each) for n, each in enumerate(tags)])
    (task,) = mlops("orchestration.tasks").tasks_of(
        pipeline([*whole.nodes], namespace="all", inputs="raw"), catalog_of(), "namespace"
    )
    assert task.resources == {"cpu": "2", "memory": "1Gi", "gpu": "1"}
    assert task.command == "kedro run --namespaces all"


@pytest.mark.parametrize(
    ("whole", "by", "files", "lost"),
    [
        (CHAIN, "node", [], ["one", "two"]),
        (CHAIN, "node", ["one"], ["two"]),
        (CHAIN, "memory", [], []),
        (MIXED, "namespace", [], ["rate"]),
        (MIXED, "namespace", ["rate"], []),
    ],
)
def test_what_tasks_would_not_find_is_named(
    mlops: Rooms, whole: Pipeline, by: str, files: list[str], lost: list[str]
) -> None:
    assert mlops("orchestration.tasks").in_memory(whole, catalog_of(*files), by) == lost


def test_the_critical_path_is_what_the_last_node_waited_for(mlops: Rooms) -> None:
    second = 1_000_000_000
    nodes = [
        {"name": name, "inputs": reads, "outputs": makes}
        | {"started_ns": start * second, "ended_ns": stop * second}
        for name, reads, makes, start, stop in [
            ("a", ["raw"], ["one"], 1, 3),
            ("b", ["raw"], ["two"], 1, 7),
            ("c", ["one", "two"], ["end"], 9, 10),
        ]
    ]
    waits, path = mlops("orchestration.parts").waits_of(nodes, second)
    assert path == ["b", "c"]
    assert waits == {"a": 0, "b": 0, "c": 2.0}
    assert mlops("orchestration.parts").waits_of([], second) == ({}, [])


def test_a_task_has_the_same_name_in_each_of_its_tries(mlops: Rooms) -> None:
    task_name = mlops("tracking.shipping.parts").task_name
    assert task_name(["b", "a"]) == task_name(["a", "b"]) != task_name(["a"])
    assert len(task_name(["x" * 500])) < 100


class Store:
    """A stand-in for a client whose runs keep their files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log_artifact(self, run_id: str, path: str, folder: str) -> None:
        shutil.copy(path, self.folder)


ABOUT = {"environment": "tasks", "pipelines": [], "params": {}, "nodes": ["fit"]}
# When each try began, what it left, and what counts.
KILLED, FAILED, DONE = (1, "RUNNING"), (2, "FAILED"), (3, "FINISHED")


@pytest.mark.parametrize("arrive", list(permutations([KILLED, FAILED, DONE])))
def test_of_a_tasks_tries_the_last_counts_in_whatever_order_they_arrive(
    mlops: Rooms, tmp_path: Path, arrive: Sequence[tuple[int, str]]
) -> None:
    """What was killed is delivered by another process, at once with the next try or after it."""
    parts, record = mlops("tracking.shipping.parts"), mlops("tracking.journal").Record
    (store := tmp_path / "store").mkdir()

    def leave(task: str, start: int, *records: Any) -> None:
        folder = tmp_path / f"{task}-{start}"
        journal = mlops("tracking.journal").Journal(folder)
        journal.create()
        for each in (record("run_started", start, {"tags": {}}), *records):
            journal.take(each)
        journal.close()
        parts.log_part(Store(store), mlops("tracking.shipping").Delivery(folder), folder, task)

    task = parts.task_name(["fit"])
    for start in (1, 2):  # Of what begins a run twice, the first.
        leave("begin", start, record("begun", start, {**ABOUT, "params": {"started": start}}))
    for start, status in arrive:
        node = {"name": "fit", "status": status, "started_ns": start, "ended_ns": start}
        leave(task, start, record("node", start, node))
    found = mlops("orchestration.parts").Parts.read(store)
    assert found.about["params"] == {"started": 1}
    assert {name: node["status"] for name, (_, node) in found.nodes.items()} == {"fit": "FINISHED"}
    # Tries of an older version, which had one file a task.
    for path in store.glob("*.3.json"):
        path.rename(store / f"{task}.json")
    assert mlops("orchestration.parts").Parts.read(store).missing == []


def test_a_task_leaves_out_what_describes_the_whole_run(mlops: Rooms) -> None:
    record = mlops("tracking.journal").Record
    records = [
        record("tags", 1, {"values": {"kedro.command": "kedro run", "holdout.rows": "3"}}),
        record("artifact", 1, {"path": "run.json", "folder": "kedro"}),
        record("artifact", 1, {"path": "a.png", "folder": "figures"}),
        record("model", 1, {"path": "whole", "pipeline": True}),
        record("model", 1, {"path": "part"}),
    ]
    kept = [each.data for each in mlops("tracking.shipping.parts").of_task(records)]
    assert kept == [
        {"values": {"holdout.rows": "3"}},
        {"path": "a.png", "folder": "figures"},
        {"path": "part"},
    ]


@pytest.mark.parametrize(
    ("latest", "sent"),
    [
        (None, [0, 1, 2]),
        ((1, 0.5), [2]),
        ((2, 0.25), []),
        ((1, 0.7), [0, 1, 2]),  # The earlier try had other values.
    ],
)
def test_what_an_earlier_try_has_delivered_is_not_sent_again(
    mlops: Rooms, latest: tuple[int, float] | None, sent: list[int]
) -> None:
    parts = mlops("tracking.shipping.parts")
    points = [["loss", 1.0, 0], ["loss", 0.5, 1], ["loss", 0.25, 2]]
    records = [mlops("tracking.journal").Record("metrics", 1, {"values": points})]
    known = {"loss": SimpleNamespace(step=latest[0], value=latest[1])} if latest else {}
    (left,) = parts.without_known_metrics(records, known)
    assert [step for _, _, step in left.data["values"]] == sent
