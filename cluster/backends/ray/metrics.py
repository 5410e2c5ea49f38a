"""A run's newest numbers as metrics of Ray, for Prometheus: ``ray_reinforce_SECTION_NAME``."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ray.util.metrics import Gauge

from reinforce.cluster.display import Display
from reinforce.cluster.run_store.journal import JournalEntry

_INTERVAL_S = 5.0
"""Between two exports. Ray forgets a gauge that was not set for twenty seconds, and an update or
the wait for the next evaluation may take longer."""


@contextmanager
def exporting(display: Display, run_name: str) -> Iterator[Display]:
    """Yield a display that passes on what it is shown, and export all of it until the end.

    What cannot be exported is told once: the run is worth more than its metrics.
    """
    metrics = RayMetricsDisplay(display, run_name)
    over = Event()

    def export_again_and_again() -> None:
        has_failed = False
        while True:
            is_the_last = over.wait(_INTERVAL_S)
            try:
                metrics.export()
            except Exception as error:  # noqa: BLE001 - whatever Ray raises
                if not has_failed:
                    display.warn(f"the run's numbers do not reach Ray's metrics: {error!r}")
                has_failed = True
            if is_the_last:
                return

    thread = Thread(target=export_again_and_again, name="ray-metrics", daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        over.set()
        thread.join()


class RayMetricsDisplay:
    """Remembers the newest of each number that it is shown, and passes the records on."""

    def __init__(self, display: Display, run_name: str) -> None:
        self._display = display
        self._run = run_name
        self._numbers: dict[str, float] = {}
        self._gauges: dict[str, Gauge] = {}

    def show(self, record: JournalEntry) -> None:
        """Remember the record's numbers."""
        steps = {"progress/environment_steps": record.environment_steps}
        self._numbers = {**self._numbers, **steps, **record.metrics}
        self._display.show(record)

    def warn(self, text: str) -> None:
        """Pass it on."""
        self._display.warn(text)

    def export(self) -> None:
        """Set a gauge of Ray for each number that was ever shown."""
        for name, value in self._numbers.items():
            if name not in self._gauges:
                gauge = Gauge(metric_name(name), description=name, tag_keys=("run",))
                gauge.set_default_tags({"run": self._run})
                self._gauges[name] = gauge
            self._gauges[name].set(value)


def metric_name(name: str) -> str:
    """Return the name of a metric in Ray; Prometheus sees it with ``ray_`` before."""
    return "reinforce_" + name.replace("/", "_")
