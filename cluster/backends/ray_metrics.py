"""The journal's numbers as metrics of Ray, for Prometheus: ``ray_reinforce_SECTION_NAME``."""

import time

from ray.util.metrics import Gauge

from cluster.display import Display
from cluster.records.record import Record

_INTERVAL_S = 1.0
"""Between exports of updates; Ray itself passes its metrics on every ten seconds."""


class RayMetricsDisplay:
    """Exports what it is shown, and passes it on."""

    def __init__(self, display: Display, run_name: str) -> None:
        self._display = display
        self._run = run_name
        self._gauges: dict[str, Gauge] = {}
        self._exported_at_s = float("-inf")

    def show(self, record: Record) -> None:
        """Export the record, unless another update was exported just now."""
        now_s = time.monotonic()
        if record.batch is None or now_s - self._exported_at_s >= _INTERVAL_S:
            self._exported_at_s = now_s
            numbers = {"progress/environment_steps": record.environment_steps, **record.metrics}
            for name, value in numbers.items():
                self._gauge(name).set(value)
        self._display.show(record)

    def warn(self, text: str) -> None:
        """Pass it on."""
        self._display.warn(text)

    def _gauge(self, name: str) -> Gauge:
        if name not in self._gauges:
            gauge = Gauge(metric_name(name), description=name, tag_keys=("run",))
            gauge.set_default_tags({"run": self._run})
            self._gauges[name] = gauge
        return self._gauges[name]


def metric_name(name: str) -> str:
    """Return the name of a metric in Ray; Prometheus sees it with ``ray_`` before."""
    return "reinforce_" + name.replace("/", "_")
