"""The seam between the loop and where things run: a pool of workers and a learner.

Two stand behind it, ``inline_backend`` and ``ray_backend``; tests hold them equal bit by bit.
Weights and trajectories are opaque to the loop: objects in the one,
references in the other, so that data goes from worker to learner without passing the driver.
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

    def __add__(self, other: "TicketCounts") -> "TicketCounts":
        return TicketCounts(
            self.issued + other.issued,
            self.completed + other.completed,
            self.reissued + other.reissued,
            self.dropped + other.dropped,
        )

    def closed(self) -> Self:
        """Return the counts once nothing is awaited any more: what is not completed is dropped."""
        return replace(self, dropped=self.issued - self.completed)


WeightsHandle: TypeAlias = Any
"""``Weights``, or a reference to them."""

TrajectoriesHandle: TypeAlias = Any
"""``Trajectories``, or a reference to them."""


@dataclass(frozen=True)
class Batch:
    """Every ticket of a batch, played, in ticket order.

    Attributes:
        tickets: What was played.
        weights: What it was played with.
        reports: What the coordinator knows of each ticket.
        trajectories: What the learner consumes, one handle per ticket.
    """

    tickets: Sequence[Ticket]
    weights: WeightsHandle
    reports: list[RolloutReport]
    trajectories: list[TrajectoriesHandle]


@dataclass(frozen=True)
class Driver:
    """What a backend asks of the process that drives the run.

    Attributes:
        interrupts: Looked at wherever that process waits.
        requested_workers: Returns how many workers the user wants by now; None: as configured.
        tell: Called with a sentence on what was lost and is made again.
        print_line: Called with a line that an environment has printed elsewhere.
        waiting: Makes a context in which the user sees what is waited for, such as "Ray to start",
            and, by a function that returns at once, why it lasts.
    """

    interrupts: Interrupts
    requested_workers: Callable[[], int | None] = lambda: None
    tell: Callable[[str], None] = lambda text: None
    print_line: Callable[[str], None] = lambda line: None
    waiting: Callable[..., AbstractContextManager[None]] = lambda *shown: nullcontext()


class Pool(Protocol):
    """Plays tickets. Whatever fails is played again; what fails for good raises TrainingError."""

    on_long_ticket: Callable[[LongTicket], None]
    """Called with a ticket that lasts, while it is waited for."""

    def submit(self, tickets: Sequence[Ticket], weights: WeightsHandle) -> None:
        """Start to play a batch of tickets with these weights."""

    def collect(self, purpose: Purpose, update: int) -> Batch:
        """Wait for the tickets of one submitted batch and return it whole, in ticket order."""

    @property
    def counts(self) -> TicketCounts:
        """Tickets so far."""

    @property
    def workers_alive(self) -> int:
        """Workers that are ready."""

    @property
    def worker_restarts(self) -> int:
        """Workers that had to be replaced so far."""

    @property
    def spilled_bytes(self) -> int:
        """What had no room in memory on its way to the learner, and was put on a disk so far."""


class LearnerHandle(Protocol):
    """The one learner of a run. It survives the process it runs in."""

    @property
    def restarts(self) -> int:
        """How often its process had to be replaced so far."""

    def weights(self) -> WeightsHandle:
        """Return the current weights."""

    def update(
        self, trajectories: Sequence[TrajectoriesHandle]
    ) -> tuple[UpdateReport, WeightsHandle]:
        """Apply one update; return what it did and the new weights.

        Raises:
            TrajectoriesLostError: They have to be played again.
        """

    def snapshot(self, ahead: WeightsHandle | None) -> tuple[LearnerState, Weights | None]:
        """Return what a checkpoint has to hold: the state, and the weights behind a handle."""

    def share(self, weights: Weights) -> WeightsHandle:
        """Return a handle of weights that this process holds."""


@dataclass(frozen=True)
class Backend:
    """A pool and a learner that understand each other's handles."""

    pool: Pool
    learner: LearnerHandle
