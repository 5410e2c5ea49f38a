"""How many tickets there were, and what became of them."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class TicketCounts:
    """Tickets of a run.

    Attributes:
        issued: Submitted, each counted once.
        completed: Played to the end and returned.
        reissued: Times that a ticket was played again because its worker failed.
        dropped: Given up together with a batch that nothing was learned from: at the end of the
            run, or when it was interrupted and the batch was drawn again by the resumed run.
    """

    issued: int = 0
    completed: int = 0
    reissued: int = 0
    dropped: int = 0

    def plus(
        self, issued: int = 0, completed: int = 0, reissued: int = 0, dropped: int = 0
    ) -> Self:
        """Return the counts after some more."""
        return replace(
            self,
            issued=self.issued + issued,
            completed=self.completed + completed,
            reissued=self.reissued + reissued,
            dropped=self.dropped + dropped,
        )

    def __add__(self, other: "TicketCounts") -> Self:
        return self.plus(other.issued, other.completed, other.reissued, other.dropped)

    def closed(self) -> Self:
        """Return the counts once nothing is awaited any more: what is not completed is dropped."""
        return replace(self, dropped=self.issued - self.completed)
