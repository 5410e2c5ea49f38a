"""How well a run does now: its returns over several updates, and its newest evaluation.

A batch may have few episodes, so the mean of a single one jumps about.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reinforce.cluster.files import last_lines
from reinforce.cluster.run_store.journal import JournalEntry

RECENT_UPDATES = 10
"""Updates whose episodes make up a recent return."""

_EVALUATED = "evaluation/return_mean"

_LOOKS_BACK_BYTES = (2**16, 2**20, 2**24, 2**26)
"""Sizes of the journal's end to search, in turn."""

_FAR_BACK_BYTES = 2**24
"""An evaluation or an update further back than this is only worth reading if no other was found."""


class RecentReturns:
    """The returns of all episodes of the newest updates.

    Attributes:
        newest: The newest update; None before the first.
        evaluation: Mean return of the newest regular evaluation; None before the first.
    """

    def __init__(self) -> None:
        self.newest: JournalEntry | None = None
        self.evaluation: float | None = None
        self._batches: deque[tuple[float, int]] = deque(maxlen=RECENT_UPDATES)
        """Sum and number of the returns of each, for a batch may be very large."""

    def note(self, entry: JournalEntry) -> None:
        """Include an update or an evaluation."""
        self.evaluation = entry.metrics.get(_EVALUATED, self.evaluation)
        if entry.batch:
            self.newest = entry
            returns = entry.batch.episode_returns
            self._batches.append((sum(returns), len(returns)))

    @property
    def mean(self) -> float | None:
        """Mean return of these episodes; None before the first update."""
        num_episodes = sum(num for _, num in self._batches)
        return sum(total for total, _ in self._batches) / num_episodes if num_episodes else None


def recent_returns(journal: Path) -> RecentReturns:
    """Read the newest entries of a journal from its end.

    Damaged lines are skipped.

    Raises:
        IrregularFileError: It is not a regular file.
    """
    newest_first: list[JournalEntry] = []
    for num_bytes in _LOOKS_BACK_BYTES:
        newest_first, is_enough = _newest_first(last_lines(journal, num_bytes))
        if is_enough or (newest_first and num_bytes >= _FAR_BACK_BYTES):
            break
    recent = RecentReturns()
    for entry in reversed(newest_first):
        recent.note(entry)
    return recent


def _newest_first(lines: Sequence[bytes]) -> tuple[list[JournalEntry], bool]:
    """Return the newest updates and evaluation, and whether older lines have nothing to add."""
    found: list[JournalEntry] = []
    num_updates, has_evaluation = 0, False
    for line in reversed(lines):
        may_be_evaluation = not has_evaluation and f'"{_EVALUATED}"'.encode() in line
        if num_updates == RECENT_UPDATES and not may_be_evaluation:
            continue  # not parsed: it may be one of very many
        with suppress(ValueError):
            entry = JournalEntry.parse(line)
            is_evaluation = not has_evaluation and _EVALUATED in entry.metrics
            is_update = num_updates < RECENT_UPDATES and entry.batch is not None
            if is_evaluation or is_update:
                found.append(entry)
            has_evaluation |= is_evaluation
            num_updates += is_update
        if has_evaluation and num_updates == RECENT_UPDATES:
            return found, True
    return found, False
