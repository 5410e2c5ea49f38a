"""The inline backend: everything in this process, one ticket at a time, also as the reference."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from reinforce.cluster.backends.backend import Backend, Batch, Driver, TicketCounts
from reinforce.cluster.errors import (
    LearnerLostError,
    TicketFailedError,
    UsageError,
    traceback_of,
)
from reinforce.cluster.long_tickets import HungStepWatch, LongTicket, Patience
from reinforce.cluster.tracebacks import last_own_call
from reinforce.configs.config import Config
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, UpdateReport
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import RolloutReport, RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, Ticket


class InlinePool:
    """A pool of one worker, called directly."""

    workers_alive = 1
    spilled_bytes = 0
    worker_restarts = 0

    def __init__(self, worker: RolloutWorker, driver: Driver) -> None:
        self._worker = worker
        self._interrupts = driver.interrupts
        self._submitted: dict[tuple[Purpose, int], tuple[Sequence[Ticket], Weights]] = {}
        self._issued = 0
        self._completed = 0
        self._patience = Patience()
        self._hung_steps = HungStepWatch(driver.tell)
        self.on_long_ticket: Callable[[LongTicket], None] = lambda long: None

    @property
    def counts(self) -> TicketCounts:
        return TicketCounts(issued=self._issued, completed=self._completed)

    def look_out(self) -> None:
        pass

    def submit(self, tickets: Sequence[Ticket], weights: Weights) -> None:
        self._submitted[tickets[0].purpose, tickets[0].update] = (tickets, weights)
        self._issued += len(tickets)

    def collect(self, purpose: Purpose, update: int) -> Batch:
        tickets, weights = self._submitted.pop((purpose, update))
        batch = Batch(tickets, weights, [], [])
        with self._hung_steps.watching():
            for ticket in tickets:
                report, trajectories = self._play(ticket, weights)
                batch.reports.append(report)
                batch.trajectories.append(trajectories)
                self._completed += 1
        return batch

    def _play(self, ticket: Ticket, weights: Weights) -> tuple[RolloutReport, Trajectories]:
        """Play a ticket; a signal ends it in the middle of a step and discards it."""

        def on_pulse(num_steps: int, seconds: float) -> None:
            self._hung_steps.note(ticket)
            self._interrupts.check()  # the environment may have caught what the signal raised
            long = self._patience.note(ticket, seconds, num_steps)
            if long:
                self._interrupts.call(lambda: self.on_long_ticket(long), obey_at_once=False)

        self._hung_steps.note(ticket)
        try:
            return self._interrupts.call(
                lambda: self._worker.play(ticket, weights, on_pulse), obey_at_once=True
            )
        except (Exception, SystemExit) as error:
            self._interrupts.check()  # it failed because of the signal
            raise TicketFailedError.of(ticket, 1, traceback_of(error)) from error


class InlineLearner:
    """The learner, with the loop's interface."""

    restarts = 0

    def __init__(self, config: Config, spec: EnvironmentSpec, state: LearnerState | None) -> None:
        # Torch takes seconds to import; a driver that uses Ray never needs it.
        from reinforce.learner.learner import Learner

        self._learner = Learner(config.learner, architecture_of(config, spec), config.run.seed)
        if state:
            try:
                self._learner.load_state(state)
            except (ValueError, LookupError, TypeError, RuntimeError) as error:
                raise UsageError(
                    "the learner cannot continue from the checkpoint after update "
                    f"{state.version}: {type(error).__name__}: {error}; remove it to continue from "
                    "the one before"
                ) from error

    def weights(self) -> Weights:
        return self._learner.weights()

    def update(self, trajectories: Sequence[Trajectories]) -> tuple[UpdateReport, Weights]:
        with _failure_named():
            return self._learner.update(trajectories)

    def snapshot(self, ahead: Weights | None) -> tuple[LearnerState, Weights | None]:
        with _failure_named():
            return self._learner.state(), ahead

    def share(self, weights: Weights) -> Weights:
        return weights


@contextmanager
def _failure_named() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = traceback_of(error)
        what = f"\n{text}" if last_own_call(text) else f" {error}"  # a policy of the user's own
        raise LearnerLostError(f"the learner failed:{what}") from error


@contextmanager
def inline_backend(
    config: Config, spec: EnvironmentSpec, driver: Driver, state: LearnerState | None
) -> Iterator[Backend]:
    """Yield a backend in this process; its learner continues from a state, if given."""
    worker = RolloutWorker(config, spec)
    try:
        with driver.waiting("starting the learner"):
            learner = InlineLearner(config, spec, state)
        yield Backend(InlinePool(worker, driver), learner)
    finally:
        worker.close()
