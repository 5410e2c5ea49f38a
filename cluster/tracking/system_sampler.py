"""Samples the machine's load under MLflow's own names, into a file that is sent like the journal.

MLflow's monitor sends its samples directly and stops for good after the first that is refused; here
they survive an outage, and its tab "System metrics" shows them all the same.
"""

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from reinforce.cluster.files import open_for_appending
from reinforce.cluster.tracking.pacing import Pace

_SAMPLES = Pace(per_elapsed_time=200, min_s=1.0, max_s=30.0)
"""Some 9,000 in three days."""

_GPU_KINDS = (
    "utilization_percentage",
    "memory_usage_percentage",
    "memory_usage_megabytes",
    "power_usage_watts",
    "power_usage_percentage",
)
"""From the most telling on. There is room for five: all of one GPU, or the first of several, so
that a run keeps to 60 metrics however many GPUs the machine has."""


class SystemSampler:
    """Context in which a thread appends samples to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        monitors = make_monitors()
        started_s = time.monotonic()
        with open_for_appending(self._path) as file:
            while not self._stop.wait(_SAMPLES.interval_s(time.monotonic() - started_s)):
                with suppress(OSError, psutil.Error):  # a full disk, a counter that is not there
                    file.write((json.dumps(sample(monitors)) + "\n").encode())


def make_monitors() -> list[Any]:
    """Return MLflow's monitors of CPU, memory, disk, network, and of GPUs if there are any."""
    psutil.cpu_percent()  # the first call measures nothing
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]  # type: ignore[no-untyped-call]
    with suppress(ImportError, RuntimeError):  # no nvidia-ml-py, or no GPU
        monitors.append(GPUMonitor())  # type: ignore[no-untyped-call]
    return monitors


def sample(monitors: list[Any]) -> dict[str, Any]:
    """Return the time and the numbers of now, in the units that their names say."""
    metrics: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        for name, value in monitor.aggregate_metrics().items():
            metrics[f"system/{name}"] = float(value)
        monitor.clear_metrics()
    dropped = _of_gpus(metrics)[len(_GPU_KINDS) :]
    kept = {name: value for name, value in metrics.items() if name not in dropped}
    return {"timestamp_ms": time.time_ns() // 1_000_000, "metrics": kept}


def _of_gpus(metrics: Iterable[str]) -> list[str]:
    """Return the names of GPUs' metrics, the most telling kind of all GPUs first."""
    return [
        name
        for kind in _GPU_KINDS
        for name in metrics
        if name.startswith("system/gpu_") and name.endswith(f"_{kind}")
    ]
