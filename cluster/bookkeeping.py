"""Bookkeeping of a run: counters, journal entries and checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reinforce.cluster.backends.backend import Backend, Batch
from reinforce.cluster.batches import Batches
from reinforce.cluster.callbacks import Callbacks
from reinforce.cluster.errors import TrainingError
from reinforce.cluster.evaluation import Evaluation, Evaluations
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.long_tickets import LongTicket
from reinforce.cluster.progress import BatchSize, Progress
from reinforce.cluster.run_requests import RequestsReader
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import (
    Journal,
    JournalEntry,
    confirmation_entry,
    evaluation_entry,
    long_ticket_entry,
    update_entry,
)
from reinforce.configs.config import Config
from reinforce.learner.state import UpdateReport


@dataclass(frozen=True)
class RunContext:
    """The outputs and inputs of a run.

    Attributes:
        journal: Receives every entry.
        checkpoints: Receives everything needed to continue.
        show: Called with every entry after writing.
        warn: Called with warnings for the user.
        interrupts: The user's signals.
        requests: The user's requests to the run.
        callbacks: Called with every entry before writing; may end the run.
    """

    journal: Journal
    checkpoints: Checkpoints
    show: Callable[[JournalEntry], None]
    warn: Callable[[str], None]
    interrupts: Interrupts
    requests: RequestsReader
    callbacks: Callbacks = field(default_factory=Callbacks)


class Bookkeeping:
    """Counts, records and saves what happens.

    Attributes:
        progress: The run's counters.
    """

    def __init__(
        self,
        config: Config,
        backend: Backend,
        batches: Batches,
        context: RunContext,
        start: Checkpoint | None,
    ) -> None:
        self._config, self._backend, self._batches = config, backend, batches
        self._context, self._checkpoints = context, context.checkpoints
        first = Progress(batch_size=BatchSize.first(config.learner))
        self._earlier = self.progress = start.progress.resumed() if start else first
        self._began_s = time.perf_counter()
        self._has_told_of_cuts = False

    def note_update(
        self, batch: Batch, report: UpdateReport, sampling_s: float, learning_s: float
    ) -> None:
        """Record an update, with wall-clock times of this process."""
        signal, noise = report.metrics["gradient_signal"], report.metrics["gradient_noise"]
        size = self.progress.batch_size.after_update(signal, noise, self._config.learner)
        self.progress = self.progress.after_update(batch, size)
        self.progress = self.now()
        self._write(
            update_entry(
                self.progress,
                batch,
                report,
                sampling_s=sampling_s,
                learning_s=learning_s,
                workers_alive=self._backend.pool.workers_alive,
                checkpoints_failed=self._checkpoints.num_failed,
            )
        )

    def note_evaluation(self, evaluations: Evaluations, evaluation_s: float) -> None:
        """Record a regular evaluation; keep the weights if they are the best so far."""
        metric = self._config.stop.target_metric
        before = self.progress
        self.progress = before.with_evaluation(evaluations.deciding.score(metric))
        if self.progress is not before:
            self._checkpoints.note_best(self.checkpoint())
        is_best = self.progress.best_update == self.progress.updates
        self.progress = self.now()
        entry = evaluation_entry(self.progress, evaluations, metric, evaluation_s)
        self._write(entry, is_best=is_best)
        self._tell_of_cuts(evaluations.deciding)

    def note_confirmation(self, evaluation: Evaluation) -> None:
        """Record an evaluation on reserved seeds."""
        self.progress = self.now()
        self._write(confirmation_entry(self.progress, evaluation))
        self._tell_of_cuts(evaluation)

    def note_long_ticket(self, long: LongTicket) -> None:
        """Report and record a ticket that takes long."""
        self._context.warn(str(long))
        self._write(long_ticket_entry(self.now(), long))

    def note_pause(self, paused_s: float) -> None:
        """Exclude a pause from the training time."""
        self._began_s += paused_s

    def checkpoint(self) -> Checkpoint:
        """Return the state of the run."""
        state, ahead = self._batches.snapshot()
        return Checkpoint(state, self.now(), ahead)

    def save(self, *, for_good: bool = False) -> Checkpoint:
        """Save a checkpoint, which later ones replace unless it is kept for good.

        Raises:
            TrainingError: It cannot be saved.
        """
        checkpoint = self.checkpoint()
        self._context.journal.flush_to_disk()  # no checkpoint is ahead of its journal
        self._checkpoints.save(checkpoint, for_good=for_good)
        return checkpoint

    def try_to_save(self, *, for_good: bool = False) -> Checkpoint | None:
        """Save a checkpoint; a failure is reported, counted, and tried again later."""
        try:
            return self.save(for_good=for_good)
        except TrainingError as error:
            self._context.warn(str(error))
            return None

    def save_if_due(self) -> None:
        """Save a checkpoint if the last one is old enough, or this one must be kept for good."""
        if self._checkpoints.is_due(self.progress.updates):
            self.try_to_save()

    def now(self) -> Progress:
        """Return the counters, updated from the clock and the backend."""
        elapsed_s = time.perf_counter() - self._began_s
        return self.progress.now(self._earlier, self._backend, elapsed_s)

    def _tell_of_cuts(self, evaluation: Evaluation) -> None:
        """Warn once per run about cut evaluation episodes; evaluation/num_cut counts all."""
        if evaluation.num_cut and not self._has_told_of_cuts:
            self._has_told_of_cuts = True
            self._context.warn(evaluation.cuts_in_words())

    def _write(self, entry: JournalEntry, *, is_best: bool = False) -> None:
        callbacks = self._context.callbacks
        entry, failure = callbacks.call(entry, is_best=is_best)
        self._context.journal.append(entry)
        self._context.show(entry)
        if failure:  # only now: the checkpoint that is saved next must not be ahead of its journal
            raise failure
        request = callbacks.take_checkpoint_request()
        if request:
            self.try_to_save(for_good=request.for_good)
