"""The load of the machine is in the journal under MLflow's names, that of workers too."""

from __future__ import annotations

import multiprocessing
import sys
import time
import types
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from tests.support.rooms import Rooms

MONITORS = (CPUMonitor, DiskMonitor, NetworkMonitor)
VARIABLES = ("SAMPLING_INTERVAL", "SAMPLES_BEFORE_LOGGING", "NODE_ID")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"MLFLOW_SYSTEM_METRICS_{name}", raising=False)


def sampled(mlops: Rooms, folder: Path) -> list[list[Any]]:
    """All values of a run's journal: name, value, step."""
    records = mlops("tracking.journal").all_records(folder)
    return [each for record in records for each in record.data["values"]]


def system_of(mlops: Rooms, folder: Path) -> Any:
    journal = mlops("tracking.journal").Journal(folder)
    return mlops("tracking.capture.system").SystemMetrics(journal)


def names_of(monitor: Any) -> set[str]:
    monitor.collect_metrics()
    return set(monitor.metrics)


def test_a_short_run_has_each_of_mlflows_metrics_once(mlops: Rooms, tmp_path: Path) -> None:
    system = system_of(mlops, tmp_path)
    system.start()
    system.stop()
    values = sampled(mlops, tmp_path)
    known = set().union(*(names_of(monitor()) for monitor in MONITORS))
    assert {name for name, _, _ in values} == {f"system/{name}" for name in known}
    assert len(values) == len(known)
    assert {step for _, _, step in values} == {0}
    memory = {name: value for name, value, _ in values}["system/system_memory_usage_megabytes"]
    assert 0 < memory * 1e6 < psutil.virtual_memory().total


def test_a_longer_run_is_sampled_as_often_as_mlflows_variables_say(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "2")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_NODE_ID", "node 1")
    system = system_of(mlops, tmp_path)
    assert mlops("tracking.capture.system")._seconds() == 0.1
    system.start()
    while len({step for _, _, step in sampled(mlops, tmp_path)}) < 2:
        time.sleep(0.05)
    system.stop()
    assert all(name.startswith("system/node 1/") for name, _, _ in sampled(mlops, tmp_path))


@pytest.mark.parametrize(
    ("interval", "seconds"), [("", 10.0), ("0", 10.0), ("3", 3.0), ("-5", 0.1)]
)
def test_an_interval_that_is_none_is_mlflows_own(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, interval: str, seconds: float
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", interval)
    assert mlops("tracking.capture.system")._seconds() == seconds


def test_what_cannot_be_sampled_costs_a_line(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "often")
    system = system_of(mlops, tmp_path)
    system.start()
    system.stop()
    assert "The load of the machine is not tracked: could not convert" in caplog.text
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)  # As where there is no network.
    monkeypatch.delenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL")
    system = system_of(mlops, tmp_path)
    system.start()
    system.stop()
    assert not [name for name, _, _ in sampled(mlops, tmp_path) if "network" in name]


def test_a_worker_process_adds_its_own_share_under_its_name(mlops: Rooms, tmp_path: Path) -> None:
    name = multiprocessing.current_process().name
    system = system_of(mlops, tmp_path)
    system.start(is_worker=True)
    system.sample_once()
    system.sample_once()
    values = sampled(mlops, tmp_path)
    shares = ("cpu_utilization", "system_memory_usage")
    assert {each for each, _, _ in values} == {
        *(f"system/{name}/{share}_percentage" for share in shares),
        f"system/{name}/system_memory_usage_megabytes",
    }
    assert len(values) == 3


class Nvml(types.ModuleType):
    """NVIDIA's library on a machine of two GPUs; the second one does not tell its power."""

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: int = 2) -> None:
        super().__init__("pynvml")
        self.gpus = gpus

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.gpus:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return types.SimpleNamespace(used=2e9, total=8e9)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return types.SimpleNamespace(gpu=40)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle:
            raise self.NVMLError("not supported")
        return 60_000

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        return 120_000


def test_gpus_are_sampled_where_nvidias_library_finds_some(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_of_gpus = mlops("tracking.capture.system").load_of_gpus
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    values = dict(load_of_gpus()())
    monkeypatch.setattr("mlflow.system_metrics.metrics.gpu_monitor.pynvml", Nvml(1), raising=False)
    assert {name for name in values if name.startswith("gpu_0")} == names_of(GPUMonitor())
    assert values["gpu_0_power_usage_watts"] == 60
    assert values["gpu_0_power_usage_percentage"] == 50
    assert values["gpu_1_memory_usage_percentage"] == 25
    assert "gpu_1_power_usage_watts" not in values


@pytest.mark.parametrize("library", [None, Nvml(0)], ids=["no library", "no GPU"])
def test_a_machine_without_gpus_is_sampled_all_the_same(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert dict(mlops("tracking.capture.system").load_of_gpus()()) == {}


def test_the_machines_memory_is_told_in_megabytes_and_percent(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = mlops("tracking.capture.system")
    memory = types.SimpleNamespace(used=3_000_000, total=4_000_000)
    monkeypatch.setattr(system.psutil, "virtual_memory", lambda: memory)
    values = dict(system.load_of_machine()())
    assert values["system_memory_usage_percentage"] == 75.0
    assert values["system_memory_usage_megabytes"] * system._MEGABYTE == 3_000_000
