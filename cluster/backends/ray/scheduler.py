"""Who plays which ticket, and which workers there are: a pure state machine.

It knows no Ray, no threads and no clock of its own: events go in with the time, and ``decide``
says what is to be done now. Every submitted ticket is pending, in flight or done; a ticket whose
worker fails returns to the front of the queue and is played again, the same episodes with the same
weights. Nothing is dropped.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count, islice, takewhile

from reinforce.cluster.backends.backend import TicketCounts
from reinforce.cluster.backends.ray.ticket_deadlines import TicketDeadlines
from reinforce.configs.execution import WorkersConfig
from reinforce.workers.tickets import Purpose, Ticket

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 60.0
_MOST_DOUBLINGS = 7

_PROBE_PAUSE_S = 2.0
_NEVER_S = float("inf")

TicketKey = tuple[Purpose, int, int]


def key_of(ticket: Ticket) -> TicketKey:
    """Return the identity of a ticket: purpose, update and index."""
    return ticket.purpose, ticket.update, ticket.index


class WorkerState(Enum):
    """What a worker does that lives, as far as is known. A dead one is forgotten."""

    STARTING = auto()  # its process, or its environments after a failure
    READY = auto()
    BUSY = auto()
    SUSPECT = auto()  # it could not be reached; asked for a sign of life
    DRAINING = auto()  # plays its last ticket


TIMEOUT_S = {WorkerState.STARTING: 600.0, WorkerState.SUSPECT: 60.0}
"""How long a worker may be so before it is replaced; a cloud may have to rent a machine first."""


@dataclass(frozen=True)
class Start:
    """Start a worker of this number.

    Attributes:
        worker: No other one ever has it.
        index: The lowest number that no other worker has now, >= 0. One that was let go has its
            own until it is ``closed``.
    """

    worker: int
    index: int


@dataclass(frozen=True)
class Play:
    """Have an idle worker play a ticket."""

    worker: int
    ticket: Ticket


@dataclass(frozen=True)
class Probe:
    """Ask a suspect for a sign of life, and one whose environment failed to make new ones."""

    worker: int


@dataclass(frozen=True)
class Stop:
    """End a worker; it is forgotten already. ``reason`` is None if it was not its fault."""

    worker: int
    reason: str | None
    ticket: Ticket | None = None


@dataclass(frozen=True)
class GiveUp:
    """End one that has not come up, forgotten already: it hangs, or no node has room for it."""

    worker: int


Action = Start | Play | Probe | Stop | GiveUp


@dataclass
class _Worker:
    index: int
    state: WorkerState
    since_s: float
    node: str | None = None
    ticket: Ticket | None = None
    deadline_s: float = _NEVER_S
    probe_at_s: float = _NEVER_S
    has_completed: bool = False


class Scheduler:
    """Gives pending tickets to idle workers, one each, oldest first; replaces what is lost.

    It is asked whenever a ticket returns, so what it does then must not grow with the number of
    workers: nobody is searched for (docs/decisions/0119-what-a-ticket-costs-the-driver.md).
    """

    def __init__(self, config: WorkersConfig, target: int) -> None:
        self.target = target
        """Workers that there should be."""
        self._max_attempts = config.max_ticket_attempts
        self._deadlines = TicketDeadlines(config.ticket_timeout_s)
        self._pending: deque[Ticket] = deque()
        self._workers: dict[int, _Worker] = {}
        self._by_state: dict[WorkerState, dict[int, _Worker]] = {state: {} for state in WorkerState}
        """The workers again, by what they do; those first that began it first."""
        self._next_deadline_s = _NEVER_S
        """No ticket is overdue before."""
        self._closing: dict[int, int] = {}
        """Indices of workers that were let go and still close their environments."""
        self._attempts: Counter[TicketKey] = Counter()
        self._counts = TicketCounts()
        self._num_started = 0
        self._avoided: Collection[str] = ()
        self._is_one_to_leave = False
        """Whether a worker that does not drain may be on a node to avoid."""
        self._restart_backoff = RestartBackoff()
        self.failed_starts = 0
        """Workers in a row that were lost before they were ready."""
        self.exhausted: Ticket | None = None
        """A ticket that waits though it was started as often as it may be."""
        self.restarts = 0
        """Workers that had to be replaced so far."""

    @property
    def counts(self) -> TicketCounts:
        """Tickets issued, completed and issued again so far."""
        return self._counts

    @property
    def num_alive(self) -> int:
        """Workers that play or could play."""
        up = (WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING)
        return sum(len(self._by_state[state]) for state in up)

    def node_of(self, worker: int) -> str | None:
        """Return the node that a worker said it is on, if it has said so."""
        return self._workers[worker].node

    def attempts(self, ticket: Ticket) -> int:
        """Return how often a ticket was started so far."""
        return self._attempts[key_of(ticket)]

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue tickets behind those that wait already."""
        self._pending.extend(tickets)
        self._counts += TicketCounts(issued=len(tickets))

    def started(self, worker: int, node: str | None, now_s: float) -> None:
        """Note that a worker answers: it is ready, or no longer suspect."""
        if worker in self._workers:
            self.failed_starts = 0
            self._workers[worker].node = node
            state = self._enter(worker, WorkerState.READY)
            state.since_s, state.probe_at_s = now_s, _NEVER_S

    def completed(self, worker: int, now_s: float) -> Ticket:
        """Note that a worker returned its ticket; return the ticket."""
        state = self._workers[worker]
        ticket = _taken(state)
        self._deadlines.note(ticket.purpose, now_s - state.since_s)
        self._restart_backoff.forget()
        state.has_completed = True
        self._free(worker, now_s)
        self._counts += TicketCounts(completed=1)
        del self._attempts[key_of(ticket)]
        return ticket

    def failed(self, worker: int, now_s: float) -> Ticket:
        """Note that the environment failed; its ticket goes to the front.

        The worker makes new environments, which may take as long as those of one that starts.
        """
        state = self._workers[worker]
        ticket = _taken(state)
        self._free(worker, now_s)
        if state.state is WorkerState.READY:
            self._enter(worker, WorkerState.STARTING).probe_at_s = now_s
        self._requeue(ticket)
        return ticket

    def unreachable(self, worker: int, now_s: float) -> Ticket | None:
        """Suspect a worker whose call was lost; its ticket, if it had one, is played elsewhere."""
        state = self._workers[worker]
        ticket, state.ticket, state.deadline_s = state.ticket, None, _NEVER_S
        if state.state is WorkerState.SUSPECT:
            state.probe_at_s = now_s + _PROBE_PAUSE_S
        else:
            self._enter(worker, WorkerState.SUSPECT)
            state.since_s, state.probe_at_s = now_s, now_s
        if ticket:
            self._attempts[key_of(ticket)] -= 1  # nobody knows whether it was even begun
            self._requeue(ticket)
        return ticket

    def lost(self, worker: int, now_s: float, *, to_blame: bool = True) -> Ticket | None:
        """Forget a worker that is gone; its ticket, if it had one, goes to the front.

        Args:
            worker: Its number.
            now_s: The time.
            to_blame: Whether the ticket may be the cause; false if the node was taken away.
        """
        state = self._removed(worker)
        self.restarts += state.state is not WorkerState.DRAINING
        self.failed_starts += state.state is WorkerState.STARTING
        if not state.has_completed and to_blame:
            self._restart_backoff.lengthen(now_s)
        if state.ticket:
            self._attempts[key_of(state.ticket)] -= not to_blame
            self._requeue(state.ticket)
        return state.ticket

    def closed(self, worker: int) -> None:
        """Note that a worker which was let go has closed its environments, or is gone."""
        self._closing.pop(worker, None)

    def longest(self, now_s: float) -> tuple[Ticket, float] | None:
        """Return the ticket that has been out for longest, and for how many seconds."""
        busy, draining = (
            self._by_state[state].values() for state in (WorkerState.BUSY, WorkerState.DRAINING)
        )
        out = [(w.since_s, w.ticket) for w in (*islice(busy, 1), *draining) if w.ticket]
        if not out:
            return None
        since_s, ticket = min(out, key=lambda item: item[0])
        return ticket, now_s - since_s

    def avoid(self, nodes: Collection[str]) -> None:
        """Give no new ticket to the workers on these nodes, which are about to go."""
        self._avoided, self._is_one_to_leave = nodes, bool(nodes)

    def decide(self, now_s: float) -> list[Action]:
        """Return what to do now. Called again without news, it returns nothing."""
        return [
            *self._stop_overdue(now_s),
            *self._retire(),
            *self._start_missing(now_s),
            *self._probe(now_s),
            *self._assign(now_s),
        ]

    def _stop_overdue(self, now_s: float) -> Iterable[Stop | GiveUp]:
        if now_s > self._next_deadline_s:
            late = [n for n, worker in self._workers.items() if now_s > worker.deadline_s]
            for number in late:
                worker = self._workers[number]
                seconds = worker.deadline_s - worker.since_s
                ticket = self.lost(number, now_s)
                yield Stop(number, f"not returned after {seconds:.3g} s", ticket)
            deadlines_s = (worker.deadline_s for worker in self._workers.values())
            self._next_deadline_s = min(deadlines_s, default=_NEVER_S)
        for number in self._over(WorkerState.STARTING, now_s):
            self._removed(number)
            yield GiveUp(number)
        for number in self._over(WorkerState.SUSPECT, now_s):
            self.lost(number, now_s)
            yield Stop(number, f"suspect for {TIMEOUT_S[WorkerState.SUSPECT]:.0f} s")

    def _over(self, state: WorkerState, now_s: float) -> list[int]:
        """Return the workers that have been in a state for longer than is allowed."""
        since_s = ((number, worker.since_s) for number, worker in self._by_state[state].items())
        limit_s = now_s - TIMEOUT_S[state]
        return [number for number, _ in takewhile(lambda item: item[1] < limit_s, since_s)]

    def _retire(self) -> Iterable[Stop]:
        """Let go of workers on nodes that drain, and of those that are too many.

        The surplus is taken from the nodes with the fewest workers, for a cluster only gives back
        nodes that are empty, and there from those that are idle.
        """
        draining = self._by_state[WorkerState.DRAINING]
        if self._is_one_to_leave or len(self._workers) - len(draining) > self.target:
            self._choose_who_leaves()
            self._is_one_to_leave = False
        for number in [n for n, worker in draining.items() if not worker.ticket]:
            self._closing[number] = self._removed(number).index
            yield Stop(number, None)

    def _choose_who_leaves(self) -> None:
        staying = {n: w for n, w in self._workers.items() if w.state is not WorkerState.DRAINING}
        leaving = [n for n, w in staying.items() if w.node in self._avoided]
        per_node = Counter(w.node for w in staying.values())
        others = sorted(
            (n for n in staying if n not in leaving),
            key=lambda n: (per_node[staying[n].node], staying[n].ticket is not None, -n),
        )
        surplus = len(staying) - len(leaving) - self.target
        for number in [*leaving, *others[: max(0, surplus)]]:
            self._enter(number, WorkerState.DRAINING)

    def _start_missing(self, now_s: float) -> Iterable[Start]:
        staying = len(self._workers) - len(self._by_state[WorkerState.DRAINING])
        if staying >= self.target or now_s < self._restart_backoff.ends_at_s:
            return
        taken = {*self._closing.values(), *(worker.index for worker in self._workers.values())}
        free = (index for index in count() if index not in taken)
        for index in islice(free, self.target - staying):
            number = self._num_started
            self._num_started += 1
            worker = self._workers[number] = _Worker(index, WorkerState.STARTING, now_s)
            self._by_state[worker.state][number] = worker
            yield Start(number, index)

    def _probe(self, now_s: float) -> Iterable[Probe]:
        for state in (WorkerState.STARTING, WorkerState.SUSPECT):
            for number, worker in self._by_state[state].items():
                if now_s >= worker.probe_at_s:
                    worker.probe_at_s = _NEVER_S  # one probe, until it is answered or fails
                    yield Probe(number)

    def _assign(self, now_s: float) -> Iterable[Play]:
        idle = self._by_state[WorkerState.READY]
        while idle and self._pending and self.attempts(self._pending[0]) < self._max_attempts:
            number, ticket = next(iter(idle)), self._pending.popleft()
            self._attempts[key_of(ticket)] += 1
            allowed_s = self._deadlines.allowed_s(ticket.purpose, self.attempts(ticket))
            worker = self._enter(number, WorkerState.BUSY)
            worker.ticket, worker.since_s, worker.deadline_s = ticket, now_s, now_s + allowed_s
            self._next_deadline_s = min(self._next_deadline_s, worker.deadline_s)
            yield Play(number, ticket)

    def _enter(self, number: int, state: WorkerState) -> _Worker:
        """Have a worker go over to a state, as the last that is in it; return the worker."""
        worker = self._workers[number]
        del self._by_state[worker.state][number]
        worker.state = state
        self._by_state[state][number] = worker
        if state is not WorkerState.DRAINING and worker.node in self._avoided:
            self._is_one_to_leave = True
        return worker

    def _removed(self, number: int) -> _Worker:
        worker = self._workers.pop(number)
        del self._by_state[worker.state][number]
        return worker

    def _free(self, number: int, now_s: float) -> None:
        worker = self._workers[number]
        worker.ticket, worker.since_s, worker.deadline_s = None, now_s, _NEVER_S
        if worker.state is not WorkerState.DRAINING:
            self._enter(number, WorkerState.READY)

    def _requeue(self, ticket: Ticket) -> None:
        if self.attempts(ticket) >= self._max_attempts:
            self.exhausted = ticket
        self._pending.appendleft(ticket)
        self._counts += TicketCounts(reissued=1)


def _taken(worker: _Worker) -> Ticket:
    if worker.ticket is None:
        raise ValueError(f"a worker that is {worker.state.name} has no ticket to return")
    return worker.ticket


class RestartBackoff:
    """The pause before a lost worker is replaced, longer while none gets anything done."""

    def __init__(self) -> None:
        self._num_losses = 0
        self.ends_at_s = float("-inf")
        """When workers may be started again."""

    def lengthen(self, now_s: float) -> None:
        """Note that a worker was lost which had done nothing."""
        self.ends_at_s = now_s + min(_FIRST_BACKOFF_S * 2**self._num_losses, _LONGEST_BACKOFF_S)
        self._num_losses = min(self._num_losses + 1, _MOST_DOUBLINGS)

    def forget(self) -> None:
        """Note that a worker has done something: the next pause is the shortest again."""
        self._num_losses = 0
