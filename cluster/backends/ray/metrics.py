"""A run's newest numbers as metrics of Ray, for Prometheus: ``ray_reinforce_SECTION_NAME``.

And as a file for ``reinforce status``, which reaches no node, only the dashboard.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Self

from ray.util.metrics import Gauge

from reinforce.cluster.backends.ray.published_numbers import PublishedNumbers

_INTERVAL_S = 5.0
"""Between two exports. Ray forgets a gauge that was not set for twenty seconds, and an update or
the wait for the next evaluation may take longer."""


class MetricsExporter:
    """Context in which the newest value of every number is exported again and again.

    An export that fails is reported once: the run is worth more than its metrics.

    Args:
        run_name: Tag of every gauge.
        run_directory: Where the run is, for whoever asks for its status.
        waits_for: Returns what the run waits for; "" while it trains.
        warn: Called with a sentence if the numbers do not reach Ray.
    """

    def __init__(
        self,
        run_name: str,
        run_directory: Path,
        warn: Callable[[str], None],
        waits_for: Callable[[], str] = str,
    ) -> None:
        self._run, self._directory, self._warn = run_name, run_directory, warn
        self._waits_for = waits_for
        self._numbers: dict[str, float] = {}
        self._recent_return_mean: float | None = None
        self._gauges: dict[str, Gauge] = {}
        self._is_over = Event()
        self._thread = Thread(target=self._export_until_over, name="ray-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def update(self, numbers: Mapping[str, float], recent_return_mean: float | None) -> None:
        """Remember numbers by name, until newer ones of the same names come.

        The mean return of the last updates is no metric; `reinforce status` shows it.
        """
        self._numbers = {**self._numbers, **numbers}
        self._recent_return_mean = recent_return_mean

    def export(self) -> None:
        """Set a gauge of Ray for each number that was ever given, and publish all of them."""
        for name, value in self._numbers.items():
            if name not in self._gauges:
                gauge = Gauge(metric_name(name), description=name, tag_keys=("run",))
                gauge.set_default_tags({"run": self._run})
                self._gauges[name] = gauge
            self._gauges[name].set(value)
        told = (self._run, str(self._directory), self._numbers, self._waits_for())
        PublishedNumbers(*told, self._recent_return_mean).publish()

    def _export_until_over(self) -> None:
        has_failed = is_last = False
        while not is_last:
            is_last = self._is_over.wait(_INTERVAL_S)
            try:
                self.export()
            except Exception as error:  # noqa: BLE001 - whatever Ray raises
                if not has_failed:
                    self._warn(f"the run's numbers do not reach Ray's metrics: {error!r}")
                has_failed = True


def metric_name(name: str) -> str:
    """Return the name of a metric in Ray; Prometheus sees it with ``ray_`` before."""
    return "reinforce_" + name.replace("/", "_")
