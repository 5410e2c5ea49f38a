"""Windows of time over the journal, so that a run of a hundred updates a second stays small."""

from cluster.records.record import Record

_WINDOWS_PER_ELAPSED_TIME = 100
"""A window lasts 1/100 of the time trained so far: every update of a short run is shown, and each
doubling of the time adds some 70 points per metric. A chart shows 320."""

_MAX_WINDOW_S = 30.0


class MetricWindows:
    """Merges consecutive updates; evaluations pass through unmerged.

    The borders follow from the records alone, so sending a journal again gives the same points.
    """

    def __init__(self) -> None:
        self._open: list[Record] = []

    def add(self, record: Record) -> list[Record]:
        """Take the next record of the journal; return what is complete with it."""
        if record.batch is None:
            return [*self.flush(), record]
        complete = []
        if self._open:
            began_s = self._open[0].training_time_s
            length_s = min(began_s / _WINDOWS_PER_ELAPSED_TIME, _MAX_WINDOW_S)
            if record.training_time_s >= began_s + length_s:
                complete = self.flush()
        self._open.append(record)
        return complete

    def flush(self) -> list[Record]:
        """Return the window that is open, if there is one, and close it."""
        window, self._open = self._open, []
        return [_merge(window)] if window else []


def _merge(window: list[Record]) -> Record:
    last = window[-1]
    metrics = {}
    # A metric may be missing in some updates, where it was not finite.
    for name in {name: None for record in window for name in record.metrics}:
        values = [record.metrics[name] for record in window if name in record.metrics]
        if name.endswith("_min"):
            metrics[name] = min(values)
        elif name.endswith("_max"):
            metrics[name] = max(values)
        elif name.startswith(("progress/", "tickets/", "cluster/", "checkpoint/")):
            metrics[name] = values[-1]
        else:
            metrics[name] = sum(values) / len(values)
    return Record(
        last.updates,
        last.environment_steps,
        last.training_time_s,
        last.timestamp_ms,
        metrics,
        last.batch,
    )
