"""The pool on Ray: carries out what the scheduler decides, and replaces workers that are lost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.backend import Batch
from cluster.errors import TicketFailedError, WorkerStartError, without_colours
from cluster.interrupts import Interrupts
from cluster.scheduler import Scheduler, TicketCounts, TicketKey, key_of
from configs.execution import WorkersConfig
from workers.rollout_worker import RolloutReport
from workers.ticket import Purpose, Ticket

_POLL_S = 0.5
"""Longest time between two looks at signals and deadlines."""

_START_TIMEOUT_S = 300.0
"""For the first worker to be ready; on a cloud, machines may have to be rented first."""

_MAX_FAILED_STARTS = 5
"""Constructors that may fail in a row."""

_FIRST_BACKOFF_S = 0.5
"""Pause after a constructor failed; it doubles with each failure in a row."""


@dataclass
class _Call:
    """A call to a worker that has not returned: a ticket, or its start (``data`` is None)."""

    worker: int
    data: Any


class RayPool:
    """Rollout actors and the calls in flight to them. One call at a time per worker."""

    def __init__(
        self,
        config: WorkersConfig,
        num_workers: int,
        make_actor: Callable[[], Any],
        interrupts: Interrupts,
    ) -> None:
        self._config = config
        self._make_actor = make_actor
        self._interrupts = interrupts
        self._scheduler = Scheduler(config.ticket_timeout_s)
        self._actors: dict[int, Any] = {}
        self._ready: set[int] = set()
        self._calls: dict[Any, _Call] = {}
        self._batches: dict[tuple[Purpose, int], list[TicketKey]] = {}
        self._weights: dict[TicketKey, Any] = {}
        self._done: dict[TicketKey, tuple[RolloutReport, Any]] = {}
        self._num_started = 0
        self._num_failed_starts = 0  # in a row
        self._without_worker_since_s = time.monotonic()
        self.worker_restarts = 0
        for _ in range(num_workers):
            self._start_worker()

    @property
    def counts(self) -> TicketCounts:
        """Tickets so far."""
        return self._scheduler.counts

    @property
    def workers_alive(self) -> int:
        """Workers that are ready."""
        return len(self._ready)

    def submit(self, tickets: Sequence[Ticket], weights: Any) -> None:
        """Start to play a batch with the weights behind a reference."""
        keys = [key_of(ticket) for ticket in tickets]
        self._batches[tickets[0].purpose, tickets[0].update] = keys
        self._weights |= dict.fromkeys(keys, weights)
        self._scheduler.submit(tickets)
        self._assign()

    def collect(self, purpose: Purpose, update: int) -> Batch:
        """Wait for the tickets of one submitted batch and return it whole, in ticket order.

        Raises:
            TicketFailedError: A ticket failed as often as it may be started.
            WorkerStartError: Workers were lost and none comes up again.
            InterruptedRunError: The user asked to stop.
        """
        keys = self._batches.pop((purpose, update))
        while any(key not in self._done for key in keys):
            self._interrupts.check()
            self._receive()
            self._replace_overdue()
            self._assign()
        played = [self._done.pop(key) for key in keys]
        for key in keys:
            del self._weights[key]
        return Batch([report for report, _ in played], [data for _, data in played])

    def wait_until_ready(self) -> None:
        """Wait for the first worker.

        Raises:
            WorkerStartError: None comes up.
            InterruptedRunError: The user asked to stop.
        """
        while not self._ready:
            self._interrupts.check()
            self._receive()

    def _start_worker(self) -> None:
        worker = self._num_started
        self._num_started += 1
        self._actors[worker] = self._make_actor()
        self._calls[self._actors[worker].ready.remote()] = _Call(worker, None)

    def _assign(self) -> None:
        for worker, ticket in self._scheduler.assign(time.monotonic()):
            weights = self._weights[key_of(ticket)]
            report, data = self._actors[worker].play.remote(ticket, weights)
            self._calls[report] = _Call(worker, data)

    def _receive(self) -> None:
        # One to wake up, then all that are there: taking one at a time favours the first in line.
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=_POLL_S)
        if ready:
            ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        elif not self._ready and (
            time.monotonic() - self._without_worker_since_s > _START_TIMEOUT_S
        ):
            raise WorkerStartError(
                f"no worker was ready after {_START_TIMEOUT_S:.0f} s; the cluster has "
                f"{ray.cluster_resources().get('CPU', 0):g} CPUs, of which "
                f"{ray.available_resources().get('CPU', 0):g} are free: lower "
                "workers.num_workers or cluster.cpus_per_worker"
            )
        for reference in ready:
            call = self._calls.pop(reference)
            try:
                result = ray.get(reference, timeout=_POLL_S)
            except RayTaskError as error:
                self._blame_ticket(call, error)
            except RayError as error:
                self._replace(call.worker, error)
            else:
                self._note(call, result)

    def _note(self, call: _Call, report: RolloutReport | None) -> None:
        if report is None:
            self._num_failed_starts = 0
            self._ready.add(call.worker)
            self._scheduler.add_worker(call.worker)
        else:
            self._done[key_of(self._scheduler.complete(call.worker))] = (report, call.data)

    def _blame_ticket(self, call: _Call, error: RayTaskError) -> None:
        """The environment raised; its worker lives and has thrown the environment away."""
        self._give_up_if_exhausted(*self._scheduler.fail(call.worker), error)

    def _replace_overdue(self) -> None:
        for worker in self._scheduler.overdue(time.monotonic()):
            for reference in [ref for ref, call in self._calls.items() if call.worker == worker]:
                del self._calls[reference]
            ray.kill(self._actors[worker])
            seconds = self._config.ticket_timeout_s
            self._replace(
                worker, TimeoutError(f"not returned after workers.ticket_timeout_s = {seconds:g}")
            )

    def _replace(self, worker: int, error: Exception) -> None:
        """Start another worker for one that is lost; its ticket is played again."""
        del self._actors[worker]
        if worker not in self._ready:
            self._num_failed_starts += 1
            if self._num_failed_starts >= _MAX_FAILED_STARTS:
                text = without_colours(str(error))
                raise WorkerStartError(f"rollout workers fail to start: {text}") from error
            time.sleep(_FIRST_BACKOFF_S * 2 ** (self._num_failed_starts - 1))
        self._ready.discard(worker)
        if not self._ready:
            self._without_worker_since_s = time.monotonic()
        lost = self._scheduler.remove_worker(worker)
        if lost:
            self._give_up_if_exhausted(*lost, error)
        self.worker_restarts += 1
        self._start_worker()

    def _give_up_if_exhausted(self, ticket: Ticket, attempts: int, error: Exception) -> None:
        if attempts >= self._config.max_ticket_attempts:
            raise TicketFailedError(
                f"ticket {ticket} failed {attempts} times (workers.max_ticket_attempts); its "
                f"episode seeds are {list(ticket.episode_seeds)}. The last failure:\n"
                f"{without_colours(str(error))}"
            ) from error
