"""How often things are sent in a run of seconds or days: later ones are merged, and rarer."""

from dataclasses import replace
from typing import NamedTuple

from reinforce.cluster.run_store.journal import JournalEntry


class Pace(NamedTuple):
    """An interval that grows with the time elapsed, within limits: dense at first, rarer later."""

    per_elapsed_time: int
    min_s: float
    max_s: float

    def interval_s(self, elapsed_s: float) -> float:
        """Return how long to wait, or to collect, at this time of the run."""
        return min(max(elapsed_s / self.per_elapsed_time, self.min_s), self.max_s)


_WINDOW = Pace(per_elapsed_time=100, min_s=0.0, max_s=30.0)
"""A window lasts 1/100 of the time trained so far: every update of a short run is shown, and each
doubling of the time adds some 70 points per metric. A chart shows 320."""


class MetricWindows:
    """Merges consecutive updates; evaluations pass through unmerged.

    The borders follow from the entries alone, so sending a journal again gives the same points.
    """

    def __init__(self) -> None:
        self._open: list[JournalEntry] = []

    def add(self, entry: JournalEntry) -> list[JournalEntry]:
        """Take the next entry of the journal; return what is complete with it."""
        if entry.batch is None:
            return [*self.flush(), entry]
        complete = []
        if self._open:
            began_s = self._open[0].training_time_s
            if entry.training_time_s >= began_s + _WINDOW.interval_s(began_s):
                complete = self.flush()
        self._open.append(entry)
        return complete

    def flush(self) -> list[JournalEntry]:
        """Return the window that is open, if there is one, and close it."""
        window, self._open = self._open, []
        return [_merge(window)] if window else []


def _merge(window: list[JournalEntry]) -> JournalEntry:
    metrics = {}
    # A metric may be missing in some updates, where it was not finite.
    for name in {name: None for entry in window for name in entry.metrics}:
        values = [entry.metrics[name] for entry in window if name in entry.metrics]
        if name.endswith("_min"):
            metrics[name] = min(values)
        elif name.endswith("_max"):
            metrics[name] = max(values)
        elif name.startswith(("progress/", "tickets/", "cluster/", "checkpoint/")):
            metrics[name] = values[-1]
        else:
            metrics[name] = sum(values) / len(values)
    return replace(window[-1], metrics=metrics)
