"""System metrics: what the machine was doing meanwhile, under MLflow's names for it.

MLflow's own sampler needs a run that it has started itself, and a server that answers. This one
writes into the journal. A worker process adds its own share, under its name: the machine's load is
known already.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

import psutil

from ..journal import Journal
from .values import valid_name

_MEGABYTE = 1e6
# MLflow's own variables, and what it does without them: seconds from sample to sample, samples that
# become one value, and the name of this machine among several.
_INTERVAL, _SECONDS = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", 10.0
_SAMPLES = "MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING"
_MACHINE = "MLFLOW_SYSTEM_METRICS_NODE_ID"

Sample = Iterator[tuple[str, float]]


class SystemMetrics:
    """Samples in a thread of its own, from `start` to `stop`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._sample: Callable[[], Sample] | None = None
        self._prefix, self._step = "system", 0

    def start(self, is_worker: bool = False) -> None:
        """Begin to sample the machine; in a worker process, its own share."""
        with self._journal.capturing("The load of the machine"):
            worker = multiprocessing.current_process().name if is_worker else ""
            parts = ["system", os.environ.get(_MACHINE, ""), worker]
            self._prefix = valid_name("/".join(filter(None, parts)))
            self._sample = share_of_process() if is_worker else load_of_machine()
            list(self._sample())  # What is measured since the last time counts from now.
            self._thread = threading.Thread(target=self._work, args=(_seconds(),), daemon=True)
            self._thread.start()

    def sample_once(self) -> None:
        """Sample now, if nothing was sampled yet: a worker process is not told that it ends."""
        if self._step == 0:
            self._write()

    def stop(self) -> None:
        """Sample once more, so that a short run has its values too, and end."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
            self._write()

    def _work(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self._write()

    def _write(self) -> None:
        with self._journal.capturing("The load of the machine"):
            if self._sample:
                values = [
                    (f"{self._prefix}/{name}", round(value, 1), self._step)
                    for name, value in self._sample()
                ]
                self._step += 1
                self._journal.append("metrics", values=values)


def _seconds() -> float:
    interval, samples = (os.environ.get(name, "") for name in (_INTERVAL, _SAMPLES))
    return max((float(interval or 0) or _SECONDS) * int(samples or 1), 0.1)


def load_of_machine() -> Callable[[], Sample]:
    """Return what samples the machine: processor, memory, disk, network, and GPUs if it has any."""
    network = psutil.net_io_counters()
    gpus = load_of_gpus()

    def sample() -> Sample:
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(os.sep)
        yield "cpu_utilization_percentage", psutil.cpu_percent()
        yield "system_memory_usage_megabytes", memory.used / _MEGABYTE
        yield "system_memory_usage_percentage", memory.used / memory.total * 100
        yield "disk_usage_percentage", disk.percent
        yield "disk_usage_megabytes", disk.used / _MEGABYTE
        yield "disk_available_megabytes", disk.free / _MEGABYTE
        if network and (now := psutil.net_io_counters()):  # None without any network.
            yield "network_receive_megabytes", (now.bytes_recv - network.bytes_recv) / _MEGABYTE
            yield "network_transmit_megabytes", (now.bytes_sent - network.bytes_sent) / _MEGABYTE
        yield from gpus()

    return sample


def share_of_process() -> Callable[[], Sample]:
    """Return what samples this process alone."""
    process = psutil.Process()

    def sample() -> Sample:
        yield "cpu_utilization_percentage", process.cpu_percent()
        yield "system_memory_usage_megabytes", process.memory_info().rss / _MEGABYTE
        yield "system_memory_usage_percentage", process.memory_percent()

    return sample


def load_of_gpus() -> Callable[[], Sample]:
    """Return what samples NVIDIA's GPUs; nothing where there are none, or no nvidia-ml-py."""
    handles: list[Any] = []
    with suppress(Exception):
        nvml: Any = import_module("pynvml")
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]

    def sample() -> Sample:
        for number, handle in enumerate(handles):
            with suppress(nvml.NVMLError):
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                yield f"gpu_{number}_memory_usage_percentage", memory.used / memory.total * 100
                yield f"gpu_{number}_memory_usage_megabytes", memory.used / _MEGABYTE
            with suppress(nvml.NVMLError):
                load = nvml.nvmlDeviceGetUtilizationRates(handle)
                yield f"gpu_{number}_utilization_percentage", load.gpu
            with suppress(nvml.NVMLError):
                power = nvml.nvmlDeviceGetPowerUsage(handle)
                limit = nvml.nvmlDeviceGetEnforcedPowerLimit(handle)
                yield f"gpu_{number}_power_usage_watts", power / 1000
                yield f"gpu_{number}_power_usage_percentage", power / limit * 100

    return sample
