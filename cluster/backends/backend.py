"""The interface between the loop and a backend: a pool of workers and a learner.

There are two, ``inline_backend`` and ``ray_backend``; tests compare them bit by bit. Weights and
trajectories are opaque to the loop: objects inline, references on Ray, so that data travels from
worker to learner without passing the driver.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeAlias

from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.long_tickets import LongTicket
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, UpdateReport
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket


@dataclass(frozen=True)
class TicketCounts:
    """Counts of a run's tickets.

    Attributes:
        issued: Submitted, each counted once.
        completed: Played to the end and returned.
        reissued: Times that a ticket was played again because its worker failed.
        dropped: Given up with a batch that was not used for learning: at the end of the run, or
            when an interrupted run drew the batch again on resuming.
    """

    issued: int = 0
    completed: int = 0
    reissued: int = 0
    dropped: int = 0

    def __add__(self, other: "TicketCounts") -> "TicketCounts":
        return TicketCounts(
            self.issued + other.issued,
            self.completed + other.completed,
            self.reissued + other.reissued,
            self.dropped + other.dropped,
        )

    def closed(self) -> Self:
        """Return the final counts, with everything unfinished counted as dropped."""
        return replace(self, dropped=self.issued - self.completed)


WeightsHandle: TypeAlias = Any
"""``Weights``, or a reference to them."""

TrajectoriesHandle: TypeAlias = Any
"""``Trajectories``, or a reference to them."""


@dataclass(frozen=True)
class Batch:
    """Every played ticket of a batch, in ticket order.

    Attributes:
        tickets: The tickets.
        weights: The weights that played them.
        reports: What the coordinator knows about each ticket.
        trajectories: The learner's input, one handle per ticket.
    """

    tickets: Sequence[Ticket]
    weights: WeightsHandle
    reports: list[RolloutReport]
    trajectories: list[TrajectoriesHandle]


@dataclass(frozen=True)
class Driver:
    """What a backend needs from the process that drives the run.

    Attributes:
        interrupts: Checked wherever that process waits.
        requested_workers: Returns the number of workers that the user wants now; None: as
            configured.
        tell: Called with a sentence about each loss and its replacement.
        print_line: Called with a line that an environment printed in another process.
        waiting: Makes a context that shows what the run waits for, such as "Ray to start", and why
            it lasts, according to a function that returns at once.
    """

    interrupts: Interrupts
    requested_workers: Callable[[], int | None] = lambda: None
    tell: Callable[[str], None] = lambda text: None
    print_line: Callable[[str], None] = lambda line: None
    waiting: Callable[..., AbstractContextManager[None]] = lambda *shown: nullcontext()


class Pool(Protocol):
    """A pool of workers. Failed tickets are played again; a final failure raises TrainingError."""

    on_long_ticket: Callable[[LongTicket], None]
    """Called with a ticket that takes long, during the wait for it."""

    def submit(self, tickets: Sequence[Ticket], weights: WeightsHandle) -> None:
        """Start playing a batch of tickets with these weights."""

    def collect(self, purpose: Purpose, update: int) -> Batch:
        """Wait for a submitted batch, and return it whole in ticket order."""

    def look_out(self) -> None:
        """Raise TrainingError if what the pool runs on is gone; called while it need not play."""

    @property
    def counts(self) -> TicketCounts:
        """Counts of tickets so far."""

    @property
    def workers_alive(self) -> int:
        """Number of ready workers."""

    @property
    def worker_restarts(self) -> int:
        """Number of workers replaced so far."""

    @property
    def spilled_bytes(self) -> int:
        """Bytes on the way to the learner spilled to disk so far."""


class LearnerHandle(Protocol):
    """The run's only learner. It survives the process it runs in."""

    @property
    def restarts(self) -> int:
        """Number of times that its process was replaced so far."""

    def weights(self) -> WeightsHandle:
        """Return the current weights."""

    def update(
        self, trajectories: Sequence[TrajectoriesHandle]
    ) -> tuple[UpdateReport, WeightsHandle]:
        """Apply one update; return a report and the new weights.

        Raises:
            TrajectoriesLostError: The batch must be played again.
        """

    def snapshot(self, ahead: WeightsHandle | None) -> tuple[LearnerState, Weights | None]:
        """Return the content of a checkpoint: the state, and the weights behind a handle."""

    def share(self, weights: Weights) -> WeightsHandle:
        """Return a handle for weights in this process."""


@dataclass(frozen=True)
class Backend:
    """A pool and a learner that understand each other's handles."""

    pool: Pool
    learner: LearnerHandle
