"""Who plays which ticket: a pure state machine without Ray, threads or a clock of its own.

Every submitted ticket is pending, in flight or done; a ticket whose worker fails returns to the
front of the queue and is played again, the same episodes with the same weights. Nothing is dropped.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from workers.ticket import Purpose, Ticket

TicketKey = tuple[Purpose, int, int]


def key_of(ticket: Ticket) -> TicketKey:
    """Return the identity of a ticket: purpose, update and index."""
    return ticket.purpose, ticket.update, ticket.index


@dataclass(frozen=True)
class TicketCounts:
    """Tickets since the start."""

    issued: int = 0
    completed: int = 0
    reissued: int = 0


@dataclass(frozen=True)
class _InFlight:
    ticket: Ticket
    deadline_s: float


class Scheduler:
    """Assigns pending tickets to idle workers, one each, oldest first."""

    def __init__(self, ticket_timeout_s: float) -> None:
        self._ticket_timeout_s = ticket_timeout_s
        self._pending: deque[Ticket] = deque()
        self._idle: deque[int] = deque()
        self._in_flight: dict[int, _InFlight] = {}
        self._attempts: Counter[TicketKey] = Counter()
        self._counts = Counter[str]()

    @property
    def counts(self) -> TicketCounts:
        """Tickets issued, completed and issued again so far."""
        return TicketCounts(**self._counts)

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue tickets behind those that wait already."""
        self._pending.extend(tickets)
        self._counts["issued"] += len(tickets)

    def add_worker(self, worker: int) -> None:
        """Note that a worker is ready for its first ticket."""
        self._idle.append(worker)

    def assign(self, now_s: float) -> list[tuple[int, Ticket]]:
        """Return (worker, ticket) pairs to start now; each ticket's deadline begins to run."""
        assignments = []
        while self._pending and self._idle:
            worker, ticket = self._idle.popleft(), self._pending.popleft()
            self._in_flight[worker] = _InFlight(ticket, now_s + self._ticket_timeout_s)
            self._attempts[key_of(ticket)] += 1
            assignments.append((worker, ticket))
        return assignments

    def complete(self, worker: int) -> Ticket:
        """Note that a worker returned its ticket and is idle; return the ticket."""
        ticket = self._in_flight.pop(worker).ticket
        self._idle.append(worker)
        self._counts["completed"] += 1
        del self._attempts[key_of(ticket)]
        return ticket

    def fail(self, worker: int) -> tuple[Ticket, int]:
        """Note that a worker failed at its ticket, but is idle; the ticket goes to the front.

        Returns:
            The ticket and how often it was started so far.
        """
        ticket = self._in_flight.pop(worker).ticket
        self._idle.append(worker)
        return self._reissue(ticket)

    def remove_worker(self, worker: int) -> tuple[Ticket, int] | None:
        """Forget a worker that is gone; its ticket, if it had one, goes to the front.

        Returns:
            The ticket and how often it was started so far, or None.
        """
        if worker in self._idle:
            self._idle.remove(worker)
        lost = self._in_flight.pop(worker, None)
        return self._reissue(lost.ticket) if lost else None

    def overdue(self, now_s: float) -> list[int]:
        """Return the workers whose ticket is past its deadline."""
        return [worker for worker, work in self._in_flight.items() if now_s > work.deadline_s]

    def _reissue(self, ticket: Ticket) -> tuple[Ticket, int]:
        self._pending.appendleft(ticket)
        self._counts["reissued"] += 1
        return ticket, self._attempts[key_of(ticket)]
