"""Which metrics of the journal MLflow shows, and under which names.

MLflow draws a chart of each metric, in sections sorted by name
(docs/decisions/0118-mlflow-pages.md).
"""

from collections.abc import Collection
from dataclasses import replace

from reinforce.cluster.run_store.journal import JournalEntry

_IN_JOURNAL, _SHOWN = "rollout/", "batch/"
"""So that the returns of training come first; the journal keeps the name that others read."""

_ALWAYS = ("rollout/return_", "evaluation/", "progress/")
"""What runs are listed and sorted by, whether it changes or not."""


def shown_name(name: str) -> str:
    """Return the name in MLflow of a metric of the journal."""
    return _SHOWN + name.removeprefix(_IN_JOURNAL) if name.startswith(_IN_JOURNAL) else name


def journal_name(shown: str) -> str:
    """Return the name in the journal of a metric in MLflow."""
    return _IN_JOURNAL + shown.removeprefix(_SHOWN) if shown.startswith(_SHOWN) else shown


def is_result(name: str) -> bool:
    """Return whether a metric of the journal is one value at the end, and no curve.

    It is a tag of the run and stands in its description.
    """
    return name.startswith("evaluation/confirmed_")


class ShownMetrics:
    """Leaves out of a journal, read from its start, what would be an empty chart or a flat one.

    A metric of updates is shown from its first change on, with the point before it: most counts of
    losses stay 0, and settings stay as they are. One that the first update lacks has changed when
    it comes, as bytes spilled to disk do; so has what an event says, such as a long ticket.

    Args:
        held: Names that MLflow has of the run already. A run of version 0.1 keeps to its names.
    """

    def __init__(self, held: Collection[str]) -> None:
        self._name = str if any(name.startswith(_IN_JOURNAL) for name in held) else shown_name
        self._changing = set(held)
        self._flat: dict[str, JournalEntry] = {}
        self._is_first = True
        """No update was read yet."""

    def of(self, entry: JournalEntry) -> list[JournalEntry]:
        """Return points that were held back until now, one an entry, and what is shown of this."""
        late: list[JournalEntry] = []
        metrics: dict[str, float] = {}
        for name, value in entry.metrics.items():
            shown, before = self._name(name), self._flat.get(name)
            if is_result(name):
                continue
            if shown not in self._changing and not name.startswith(_ALWAYS):
                is_flat = self._is_first if before is None else before.metrics[name] == value
                if is_flat and entry.batch:
                    self._flat[name] = entry
                    continue
                if before:
                    late.append(replace(before, metrics={shown: before.metrics[name]}))
                self._changing.add(shown)
            metrics[shown] = value
        self._is_first &= entry.batch is None
        return [*late, replace(entry, metrics=metrics)]
