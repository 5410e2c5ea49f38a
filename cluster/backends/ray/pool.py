"""The pool on Ray: carries out what the scheduler decides, and tells it what became of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayError, RayTaskError

from reinforce.cluster.backends.backend import Batch, Driver, TicketCounts
from reinforce.cluster.backends.ray.breakpoints import breakpoint_behind
from reinforce.cluster.backends.ray.capacity import RoomWait, WorkerTarget, room_in_words
from reinforce.cluster.backends.ray.incidents import (
    Incident,
    Incidents,
    cause_of,
    fails_to_start,
    node_is_alive,
)
from reinforce.cluster.backends.ray.leaving import LeavingWorkers
from reinforce.cluster.backends.ray.object_store import Spilling, require_disk
from reinforce.cluster.backends.ray.plain_values import plain_ticket, report_from_plain
from reinforce.cluster.backends.ray.private import has_process
from reinforce.cluster.backends.ray.scheduler import (
    Action,
    GiveUp,
    Play,
    Probe,
    Scheduler,
    Start,
    Stop,
    TicketKey,
    key_of,
)
from reinforce.cluster.backends.ray.versions import VersionWatch
from reinforce.cluster.errors import (
    LearnerStateLostError,
    TicketFailedError,
    WorkerStartError,
    without_colours,
)
from reinforce.cluster.long_tickets import LongTicket, Patience
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.workers.placement import Placement
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket

_POLL_S = 0.5
"""Longest time between two looks at signals and deadlines."""

_START_TIMEOUT_S = 300.0
"""For the first worker to be ready once it has its CPUs."""

_LOOK_EVERY_S = 2.0
"""Whether there is room for a worker, while there is none."""

_CONSTRUCTOR_RUNS = "the constructor of its environment has not returned"

_BUSY_CLOSE_S = 2.0
"""At the end, for a worker to finish its ticket and close its environments; then it is killed."""

_IDLE_CLOSE_S = 8.0
"""For one that has no ticket to close its environments: some simulators take seconds."""

_CLOSE_AFTER_A_SIGNAL_S = 2.0
"""For either, from the signal on."""

_MAX_FAILED_STARTS = 5
"""Constructors that may fail in a row."""


@dataclass
class _Call:
    """A call to a worker that has not returned: a ticket, or a sign of life (``data`` is None)."""

    worker: int
    data: Any = None


@dataclass
class _Submitted:
    """A batch that has not been collected."""

    tickets: Sequence[Ticket]
    weights: Any
    num_missing: int


class RayPool:
    """Rollout actors and the calls in flight to them. One call at a time per worker."""

    def __init__(
        self,
        config: Config,
        worker_target: WorkerTarget,
        make_actor: Callable[[Placement], Any],
        driver: Driver,
        check_session: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._check_session = check_session
        self._worker_target = worker_target
        self._make_actor = make_actor
        self._driver = driver
        self._scheduler = Scheduler(config.workers, worker_target.target)
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, _Call] = {}
        self._submitted: dict[tuple[Purpose, int], _Submitted] = {}
        self._done: dict[TicketKey, tuple[RolloutReport, Any]] = {}
        self._last_errors: dict[TicketKey, Exception] = {}
        self._last_alive_s = self._looked_s = time.monotonic()
        self._has_started = False
        self._room = RoomWait(config.cluster.room_timeout_s)
        self._shown_wait: ExitStack | None = None
        self._leaving = LeavingWorkers(self._scheduler.closed)
        self._incidents = Incidents()
        self._spilling = Spilling(driver.tell)
        self._versions = VersionWatch(driver.tell)
        self._patience = Patience()
        self.on_long_ticket: Callable[[LongTicket], None] = lambda long: None
        self._carry_out()

    @property
    def counts(self) -> TicketCounts:
        return self._scheduler.counts

    @property
    def workers_alive(self) -> int:
        return self._scheduler.num_alive

    @property
    def worker_restarts(self) -> int:
        return self._scheduler.restarts

    @property
    def spilled_bytes(self) -> int:
        return self._spilling.num_bytes

    def submit(self, tickets: Sequence[Ticket], weights: Any) -> None:
        """Start to play a batch with the weights behind a reference."""
        self._submitted[tickets[0].purpose, tickets[0].update] = _Submitted(
            tickets, weights, len(tickets)
        )
        self._last_alive_s = time.monotonic()
        # What has come back meanwhile is not overdue.
        self._receive(wait_s=0.0)
        self._scheduler.submit(tickets)
        self._carry_out()

    def look_out(self) -> None:
        self._check_session()
        if self._worker_target.look_again():
            self._scheduler.target = self._worker_target.target
            self._scheduler.avoid(self._worker_target.leaving_nodes)

    def keep_busy(self) -> None:
        """Take in what has come back and hand out what is next; errors as for ``collect``."""
        self._advance(wait_s=0.0)

    def collect(self, purpose: Purpose, update: int) -> Batch:
        """Wait for the tickets of one submitted batch and return it whole, in ticket order.

        Raises:
            TicketFailedError: A ticket failed as often as it may be started.
            WorkerStartError: Workers were lost and none comes up again.
            StorageError: Ray has no disk to spill to.
            InterruptedRunError: The user asked to stop.
        """
        batch = self._submitted[purpose, update]
        keys = [key_of(ticket) for ticket in batch.tickets]
        self._last_alive_s = time.monotonic()
        while batch.num_missing:
            self._advance()
        del self._submitted[purpose, update]
        played = [self._done.pop(key) for key in keys]
        for key in keys:
            self._last_errors.pop(key, None)
        reports, data = [report for report, _ in played], [data for _, data in played]
        return Batch(batch.tickets, batch.weights, reports, data)

    def wait_until_ready(self) -> None:
        """Wait for the first worker.

        Raises:
            WorkerStartError: None comes up.
            InterruptedRunError: The user asked to stop.
        """
        while not self.workers_alive:
            self._advance()

    def tell_incidents(self, *, at_once: bool = False) -> None:
        """Tell what was lost since the last time, if that is long enough ago, or now.

        Not where a ticket is given up: it is not played again, and the error says what it was.
        """
        if self._scheduler.exhausted:
            return
        sentence = self._incidents.sentence(time.monotonic(), at_once=at_once)
        if sentence:
            self._driver.tell(sentence)

    def close(self) -> None:
        """Have the workers close their environments, and wait for it a little."""
        # It refers to the books, and they to this pool: in a circle, the actors would live on.
        self.on_long_ticket = lambda long: None
        self._note_somebody()
        busy = {call.worker for call in self._calls.values()}
        closing = {actor.close.remote(): n not in busy for n, actor in self._actors.items()}
        closing |= dict.fromkeys(self._leaving.references, False)
        idle = [reference for reference, is_idle in closing.items() if is_idle]
        for references, patience_s in ((list(closing), _BUSY_CLOSE_S), (idle, _IDLE_CLOSE_S)):
            self._wait_for_all(references, patience_s)

    def _wait_for_all(self, references: list[Any], patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while references and (left_s := deadline_s - time.monotonic()) > 0:
            _, references = ray.wait(
                references, num_returns=len(references), timeout=min(left_s, _POLL_S)
            )
            if self._driver.interrupts.is_late(_CLOSE_AFTER_A_SIGNAL_S):
                return

    def _advance(self, wait_s: float = _POLL_S) -> None:
        self._driver.interrupts.check()
        self.look_out()
        self._receive(wait_s)
        self._give_up_if_exhausted()
        self._carry_out()
        self._leaving.look()
        self._spilling.look()
        self.tell_incidents()
        self._tell_long_ticket()

    def _tell_long_ticket(self) -> None:
        longest = self._scheduler.longest(time.monotonic())
        if longest and (long := self._patience.note(*longest)):
            self.on_long_ticket(long)

    def _carry_out(self) -> None:
        for action in self._scheduler.decide(time.monotonic()):
            self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case Start(worker, index):
                placement = Placement(index, self._scheduler.target)
                self._actors[worker] = self._make_actor(placement)
                self._calls[self._actors[worker].ready.remote()] = _Call(worker)
            case Probe(worker):
                self._calls[self._actors[worker].ready.remote()] = _Call(worker)
            case Play(worker, ticket):
                weights = self._submitted[ticket.purpose, ticket.update].weights
                report, data = self._actors[worker].play.remote(plain_ticket(ticket), weights)
                self._calls[report] = _Call(worker, data)
            case GiveUp(worker):
                # One that waits for room is no loss, and has no process yet.
                if has_process(self._actors[worker]):
                    self._scheduler.restarts += 1
                    self._incidents.add(Incident.WORKER, "it did not start in time", None)
                self._end(worker)
            case Stop(worker, None):
                self._leaving.let_go(worker, self._forget(worker))
            case Stop(worker, str(reason), ticket):
                self._end(worker)
                self._incidents.add(Incident.WORKER, reason, ticket)
                if ticket:
                    self._last_errors[key_of(ticket)] = TimeoutError(
                        f"{reason}: its environment hangs, or an episode has no end, for which "
                        "there is environment.max_episode_steps"
                    )

    def _end(self, worker: int) -> None:
        ray.kill(self._forget(worker))

    def _forget(self, worker: int) -> Any:
        """Return the actor; nobody waits any longer for what it was asked."""
        for reference in [r for r, call in self._calls.items() if call.worker == worker]:
            del self._calls[reference]
        return self._actors.pop(worker)

    def _receive(self, wait_s: float) -> None:
        """Take in what has returned, after waiting for the first of it."""
        if not self._calls:  # every worker is lost, and the next one waits its turn
            time.sleep(wait_s)
            ready = []
        else:
            # All that are there, for taking one at a time favours the first; else one to wake up.
            calls = list(self._calls)
            ready, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
            if not ready and wait_s:
                ready, _ = ray.wait(calls, num_returns=1, timeout=wait_s)
        for reference in ready:
            call = self._calls.pop(reference)
            try:
                result = ray.get(reference, timeout=_POLL_S)
            except RayError as error:
                self._note_failure(call, error)
            else:
                self._note_result(call, result)
        if self.workers_alive:
            self._note_somebody()
        else:
            self._note_nobody()

    def _note_result(self, call: _Call, result: Any) -> None:
        now_s = time.monotonic()
        if call.data is None:
            node, versions = result
            self._versions.note(node, versions)
            self._scheduler.started(call.worker, node, now_s)
        else:
            ticket = self._scheduler.completed(call.worker, now_s)
            key = key_of(ticket)
            self._done[key] = report_from_plain(ticket, result), call.data
            self._submitted[key[:2]].num_missing -= 1

    def _note_failure(self, call: _Call, error: RayError) -> None:
        now_s, ticket = time.monotonic(), None
        require_disk(error)
        if isinstance(error, RayTaskError) and isinstance(error.cause, ObjectLostError):
            raise LearnerStateLostError(f"weights vanished with their node: {error.cause}")
        if where := breakpoint_behind(error):
            if call.data is None:
                raise WorkerStartError(f"a worker that starts has come to a {where}") from None
            ticket = self._scheduler.failed(call.worker, now_s)
            raise TicketFailedError.at_breakpoint(ticket, where) from None
        if isinstance(error, RayTaskError) and call.data is not None:
            # The environment raised; its worker lives and has thrown the environment away.
            ticket = self._scheduler.failed(call.worker, now_s)
            self._incidents.add(Incident.EPISODE, cause_of(error), ticket)
        elif isinstance(error, ActorUnavailableError):
            ticket = self._scheduler.unreachable(call.worker, now_s)
            if ticket:  # and not each time that it is asked for a sign of life
                self._incidents.add(Incident.CONTACT, "the network, or its node", ticket)
        else:
            is_alive = node_is_alive(self._scheduler.node_of(call.worker))
            ticket = self._scheduler.lost(call.worker, now_s, to_blame=is_alive)
            self._incidents.add(Incident.WORKER, cause_of(error, has_node=is_alive), ticket)
            del self._actors[call.worker]
            self._give_up_if_none_starts(error)
        if ticket:
            self._last_errors[key_of(ticket)] = error

    def _give_up_if_none_starts(self, error: RayError) -> None:
        if fails_to_start(error) and self._scheduler.failed_starts >= _MAX_FAILED_STARTS:
            text = without_colours(str(error))
            raise WorkerStartError(f"rollout workers fail to start: {text}") from error

    def _note_somebody(self) -> None:
        self._last_alive_s, self._has_started = time.monotonic(), True
        self._room.forget()
        self._incidents.last_cause = ""
        if self._shown_wait:
            self._shown_wait.close()
            self._shown_wait = None

    def _note_nobody(self) -> None:
        """Wait for room as long as the user likes, and only so long for those that have a place."""
        if self._shown_wait is None:
            self._shown_wait = ExitStack()
            count = self._scheduler.target
            starting = f"starting {'a worker' if count == 1 else counted(count, 'worker')}"
            stage = "waiting for a worker" if self._has_started else starting
            self._shown_wait.enter_context(self._driver.waiting(stage, self._why_nobody))
        now_s = time.monotonic()
        if self._actors and now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            has_room = any(map(has_process, self._actors.values()))
            if words := "" if has_room else room_in_words(len(self._actors), self._config):
                self._last_alive_s = now_s  # at the earliest: a constructor counts from there
                if too_long := self._room.note(words):
                    raise WorkerStartError(
                        f"{too_long}; lower workers.num_workers or cluster.cpus_per_worker, or "
                        "wait until others have ended"
                    )
            else:
                self._room.forget()
        if now_s - self._last_alive_s > _START_TIMEOUT_S:
            cause = self._incidents.last_cause
            raise WorkerStartError(
                f"no worker was ready after {_START_TIMEOUT_S:.0f} s, though they have their "
                "CPUs: the environment's constructor hangs"
                + (f", or crashes: a worker was lost ({cause})" if cause else "")
            )

    def _why_nobody(self) -> str:
        if not self._actors and self._incidents.last_cause:  # the next one waits its turn
            return f"the last one was lost ({self._incidents.last_cause})"
        return self._room.words or _CONSTRUCTOR_RUNS

    def _give_up_if_exhausted(self) -> None:
        ticket = self._scheduler.exhausted
        if ticket is None:
            return
        error = self._last_errors[key_of(ticket)]
        attempts = self._scheduler.attempts(ticket)
        raise TicketFailedError.of(ticket, attempts, without_colours(str(error))) from error
