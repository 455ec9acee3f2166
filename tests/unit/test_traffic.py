"""What a served model gets, counted for Prometheus: whatever shape it has."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import prometheus_client
import pytest

from tests.support.rooms import room

traffic, reference = room("monitoring.traffic"), room("monitoring.reference")
GROUP = reference.Group(
    100,
    {
        "x": reference.Distribution([0.2, 0.6, 0.2], 0, [1.0, 2.0]),
        "s": reference.Distribution([0.5, 0.5, 0.0], 0, [], ["a", "b"]),
    },
    {"y": reference.Distribution([0.5, 0.5], 0, [0.5])},
)
REFERENCE = reference.Reference({"": GROUP, "s=a": GROUP})
ROWS: dict[str, list[Any]] = {"x": [0.5, 1.5, None], "s": ["a", "c", "b"]}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> prometheus_client.CollectorRegistry:
    made = prometheus_client.CollectorRegistry()
    counter = partial(prometheus_client.Counter, registry=made)
    monkeypatch.setattr(prometheus_client, "Counter", counter)
    return made


def counted(registry: Any, name: str, **labels: str) -> float | None:
    wanted = {"model": "m", "version": "1", "kind": "input", "feature": "x", "group": "all"}
    value: float | None = registry.get_sample_value(
        f"serving_feature_{name}_total", wanted | labels
    )
    return value


FORMS: list[Any] = [
    (ROWS, pd.DataFrame({"y": [0.1, 0.9, 0.9]})),
    ({name: tuple(each) for name, each in ROWS.items()}, pd.Series([0.1, 0.9, 0.9], name="y")),
    (pd.DataFrame(ROWS), pd.DataFrame({"id": [1, 2, 3], "y": [0.1, 0.9, 0.9]})),
]


@pytest.mark.parametrize(("rows", "predicted"), FORMS)
def test_each_form_of_rows_is_counted(registry: Any, rows: Any, predicted: Any) -> None:
    found = traffic.Traffic(REFERENCE, "m", "1")
    for _ in range(2):
        found.add(rows, predicted, 3)
    assert counted(registry, "rows", bucket="below 1") == 0  # It is there before any row is.
    found.flush()
    assert counted(registry, "rows", bucket="below 1") == 2
    assert counted(registry, "rows", bucket="1 to 2") == 2
    assert counted(registry, "rows", bucket="from 2") == 0
    assert counted(registry, "flawed_rows", flaw="missing") == 2
    assert counted(registry, "flawed_rows", flaw="beyond", feature="s") == 2
    assert counted(registry, "rows", bucket="below 1", group="s=a") == 2
    assert counted(registry, "rows", bucket="1 to 2", group="s=a") == 0
    assert counted(registry, "rows", kind="prediction", feature="y", bucket="from 0.5") == 4


def test_many_rows_are_counted_by_who_brings_them(registry: Any) -> None:
    found = traffic.Traffic(REFERENCE, "m", "1")
    rows = {"x": np.full(200_000, 1.5).tolist()}  # What may be left out is missing.
    found.add(rows, pd.DataFrame({"y": np.zeros(200_000)}), 200_000)
    assert counted(registry, "rows", bucket="1 to 2") == 200_000
    assert counted(registry, "flawed_rows", feature="s", flaw="missing") == 200_000


def test_who_brings_many_after_others_were_counted_counts_no_more_than_these(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_MOST_WAITING", 4)
    found, predicted = traffic.Traffic(REFERENCE, "m", "1"), FORMS[0][1]
    for flushed in (True, False):
        found.add(ROWS, predicted, 3)
        if flushed:
            found.flush()
    assert counted(registry, "rows", bucket="below 1") == 1  # The second three wait.
    found.add(ROWS, predicted, 3)
    assert counted(registry, "rows", bucket="below 1") == 3


def test_predictions_that_are_no_rows_of_the_request_are_not_counted(registry: Any) -> None:
    found = traffic.Traffic(REFERENCE, "m", "1")
    found.add(ROWS, pd.DataFrame({"y": [0.9]}), 3)
    found.flush()
    assert counted(registry, "rows", bucket="below 1") == 1
    assert counted(registry, "rows", kind="prediction", feature="y", bucket="from 0.5") == 0


def test_what_cannot_be_counted_is_said_once_and_costs_no_request(
    registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = traffic.Traffic(REFERENCE, "m", "1")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            found.add(ROWS, "no table", 3)
            found.flush()
    assert [record.message for record in caplog.records] == ["Rows are not counted for monitoring."]
    assert not found._waiting


def test_a_model_without_a_reference_predicts_as_it_did(tmp_path: Path) -> None:
    def predict(rows: Any) -> tuple[Any, int]:
        return rows, 1

    assert traffic.watched(predict, tmp_path, "m", "1") is predict
    assert not list(traffic.reference_metrics(tmp_path, "m", "1"))


def test_a_model_with_one_has_what_it_gets_and_predicts_counted(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = list[Any]()

    def start(made: Any) -> None:
        started.append(made)

    monkeypatch.setattr(traffic.Traffic, "start", start)
    REFERENCE.write(tmp_path / reference.FILE)
    answer = FORMS[0][1], 3
    assert traffic.watched(lambda _: answer, tmp_path, "m", "1")(ROWS) is answer
    (made,) = started
    made.flush()
    assert counted(registry, "rows", bucket="below 1") == 1
    assert counted(registry, "rows", kind="prediction", feature="y", bucket="from 0.5") == 2


def test_what_training_had_is_there_for_prometheus(tmp_path: Path) -> None:
    about = reference.Distribution([0.2, 0.6, 0.2], 0.1, [1.0, 2.0], outside=0.03)
    named = reference.Distribution([0.5, 0.3, 0.2], 0.4, [], ["a", "b"])
    group = reference.Group(100, {"x": about, "s": named})
    reference.Reference({"": group, "s=a": group}).write(tmp_path / reference.FILE)
    found = {
        (sample.labels["group"], sample.labels["feature"], *[*sample.labels.values()][5:]): (
            sample.value
        )
        for family in traffic.reference_metrics(tmp_path, "m", "1")
        for sample in family.samples
    }
    shares = {
        ("x", "below 1"): 0.2,
        ("x", "1 to 2"): 0.6,
        ("x", "from 2"): 0.2,
        ("s", "a"): 0.5,
        ("s", "b"): 0.3,
        ("s", "(other)"): 0.2,
    }
    flawed = {
        ("x", "missing"): 0.1,
        ("x", "beyond"): 0.03,
        ("s", "missing"): 0.4,
        ("s", "beyond"): 0.2,
    }
    wanted = shares | flawed
    assert found == {(each, *key): wanted[key] for each in ("all", "s=a") for key in wanted}
