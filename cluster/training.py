"""The loop: a batch is fixed, played, learned from and recorded, over and over.

It knows neither Ray nor MLflow: a backend plays and learns, and tracking follows the journal.
"""

import time
from contextlib import suppress
from dataclasses import dataclass

from reinforce.cluster.backends.backend import Backend, Batch, WeightsHandle
from reinforce.cluster.display import Display
from reinforce.cluster.errors import InterruptedRunError, TrainingError, TrajectoriesLostError
from reinforce.cluster.evaluation import Evaluation, Evaluator
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.progress import BatchSize, Progress
from reinforce.cluster.run_requests import Control
from reinforce.cluster.run_store.checkpoint import Checkpoint, PlayedAhead
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import (
    Journal,
    JournalEntry,
    confirmation_entry,
    evaluation_entry,
    update_entry,
)
from reinforce.configs.config import Config
from reinforce.learner.state import UpdateReport
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets

_PAUSE_POLL_S = 0.2
_MAX_BATCH_ATTEMPTS = 3
"""Times that a batch may vanish on its way to the learner."""


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        stop_reason: The limit of the section ``stop`` that was reached, or the signal.
        exit_code: 0, or 128 + signal.
        progress: Counters at the end.
        weights_sha256: Digest of the last weights; None if they went with a Ray that was ended.
        evaluation: Of the last weights, on seeds of its own; None if interrupted.
    """

    stop_reason: str
    exit_code: int
    progress: Progress
    weights_sha256: str | None
    evaluation: Evaluation | None


@dataclass(frozen=True)
class RunContext:
    """What a run writes to and listens to.

    Attributes:
        journal: Receives every record.
        checkpoints: Receives what is needed to go on.
        display: Shows what is recorded.
        interrupts: Signals of the user.
        control: RunRequests of the user.
    """

    journal: Journal
    checkpoints: Checkpoints
    display: Display
    interrupts: Interrupts
    control: Control


def training_tickets(config: Config, update: int, num_episodes: int) -> list[Ticket]:
    """Return the batch of an update: what will be played, before it is."""
    return draw_tickets(
        config.run.seed,
        Purpose.TRAINING,
        update,
        num_episodes,
        config.workers.episodes_per_ticket,
    )


class Training:
    """One run from its first ticket, or from a checkpoint, to its last checkpoint."""

    def __init__(
        self,
        config: Config,
        backend: Backend,
        context: RunContext,
        start: Checkpoint | None = None,
    ) -> None:
        self._config = config
        self._backend = backend
        self._pool, self._learner = backend.pool, backend.learner
        self._journal, self._checkpoints = context.journal, context.checkpoints
        self._display, self._control = context.display, context.control
        self._interrupts = context.interrupts
        self._evaluator = Evaluator(config, self._pool)
        self._began_s = time.perf_counter()
        self._weights = self._learner.weights()
        first = Progress(batch_size=BatchSize.first(config.learner))
        self._earlier = self._progress = start.progress.resumed() if start else first
        self._num_submitted = self._progress.updates
        # What the batch after the next update is, or would be, played with when looking ahead.
        self._before: tuple[int, WeightsHandle] | None = None
        if start and start.ahead:
            self._before = start.ahead.episodes, self._learner.share(start.ahead.weights)
            self._submit_up_to(self._progress.updates, *self._before)

    def run(self) -> Outcome:
        """Train until a limit of ``config.stop`` is reached or the user interrupts.

        An interruption is raised only while tickets are played or the learner is at work, when
        journal, progress and the learner's last state agree on the version.

        Raises:
            TrainingError: A ticket, the workers or the learner failed for good.
        """
        try:
            while not (ending := self._ending(self._evaluate_if_due())):
                self._pause_if_asked()
                self._update()
                if self._checkpoints.is_due(self._progress.updates):
                    self._save_or_go_on_without()
        except Exception as error:
            # A signal to the whole process group ends parts of Ray, too: what fails after it, fails
            # because of it.
            interruption = self._interrupts.received
            if interruption is None:
                with suppress(TrainingError):  # what the last updates made survives the failure
                    self._save_checkpoint()
                raise
            saved = self._save_or_go_on_without()
            if not isinstance(error, InterruptedRunError):
                self._display.warn(f"after the signal: {error}")
            return self._outcome(str(interruption), interruption.exit_code, saved, None)
        stop_reason, final = ending
        return self._outcome(stop_reason, 0, self._save_checkpoint(), final)

    def _update(self) -> None:
        started_s = time.perf_counter()
        update = self._progress.updates
        fixed = self._progress.batch_size.episodes, self._weights
        self._submit_up_to(update + self._config.cluster.lookahead, *fixed)
        batch = self._pool.collect(Purpose.TRAINING, update)  # every ticket, in ticket order
        sampled_s = time.perf_counter()
        batch, report, self._weights = self._learn(batch)  # version v -> v + 1
        learned_s = time.perf_counter()
        signal, noise = report.metrics["gradient_signal"], report.metrics["gradient_noise"]
        size = self._progress.batch_size.after_update(signal, noise, self._config.learner)
        self._before = fixed
        self._progress = self._progress.after_update(batch, size)
        self._progress = self._now()
        self._record(
            update_entry(
                self._progress,
                batch,
                report,
                sampling_s=sampled_s - started_s,
                learning_s=learned_s - sampled_s,
                workers_alive=self._pool.workers_alive,
                checkpoints_failed=self._checkpoints.num_failed,
            )
        )

    def _learn(self, batch: Batch) -> tuple[Batch, UpdateReport, WeightsHandle]:
        """Update the learner; a batch that vanishes with a node is played once more."""
        num_lost = 0
        while True:
            try:
                return batch, *self._learner.update(batch.trajectories)
            except TrajectoriesLostError as error:
                num_lost += 1
                if num_lost == _MAX_BATCH_ATTEMPTS:
                    raise
                self._display.warn(f"a batch is played again: {error}")
                self._pool.submit(batch.tickets, batch.weights)
                batch = self._pool.collect(Purpose.TRAINING, batch.tickets[0].update)

    def _submit_up_to(self, update: int, episodes: int, weights: WeightsHandle) -> None:
        """Fix the batches up to this update: their size, and the weights they are played with.

        With lookahead 1 the batch of update k is played with version k - 1, always: while the
        learner makes version k of the batch before it. The first two are played with version 0.
        """
        last = min(update, self._config.stop.max_updates - 1)
        while self._num_submitted <= last:
            tickets = training_tickets(self._config, self._num_submitted, episodes)
            self._pool.submit(tickets, weights)
            self._num_submitted += 1

    def _evaluate_if_due(self) -> Evaluation | None:
        started_s = time.perf_counter()
        evaluations = self._evaluator.evaluate_if_due(self._progress.updates, self._weights)
        if not evaluations:
            return None
        evaluation = evaluations.deciding
        if self._progress.is_best(evaluation.return_mean):
            self._progress = self._progress.with_best(evaluation.return_mean)
            self._checkpoints.note_best(self._checkpoint())
        self._progress = self._now()
        best = self._progress.best_return or 0.0
        duration_s = time.perf_counter() - started_s
        self._record(evaluation_entry(self._progress, evaluations, best, duration_s))
        return evaluation

    def _ending(self, evaluation: Evaluation | None) -> tuple[str, Evaluation] | None:
        """Return why the run is over and the confirmed evaluation, or None to go on."""
        limit = self._progress.reached_limit(self._config.stop)
        at_target = self._evaluator.at_target(evaluation)
        if not limit and not at_target:
            return None
        final = self._evaluator.confirm(self._progress.updates, self._weights)
        self._progress = self._now()
        self._record(confirmation_entry(self._progress, final))
        if at_target and self._evaluator.at_target(final):
            return "target_return", final
        return (limit, final) if limit else None

    def _pause_if_asked(self) -> None:
        if not self._control.wishes.paused:
            return
        self._save_or_go_on_without()
        self._display.warn("paused, as asked; `reinforce unpause` goes on")
        paused_s = time.perf_counter()
        while self._control.wishes.paused:
            self._interrupts.check()
            time.sleep(_PAUSE_POLL_S)
        self._began_s += time.perf_counter() - paused_s  # a pause is no training time

    def _record(self, record: JournalEntry) -> None:
        self._journal.append(record)
        self._display.show(record)

    def _now(self) -> Progress:
        elapsed_s = time.perf_counter() - self._began_s
        return self._progress.now(self._earlier, self._backend, elapsed_s)

    def _checkpoint(self) -> Checkpoint:
        looks_ahead = self._config.cluster.lookahead
        episodes, before = self._before if self._before and looks_ahead else (0, None)
        state, weights = self._learner.snapshot(before)
        ahead = PlayedAhead(episodes, weights) if weights else None
        return Checkpoint(state, self._now(), ahead)

    def _save_checkpoint(self) -> Checkpoint:
        checkpoint = self._checkpoint()
        self._journal.flush_to_disk()  # no checkpoint is ahead of its journal
        self._checkpoints.save(checkpoint)
        return checkpoint

    def _save_or_go_on_without(self) -> Checkpoint | None:
        """Save a checkpoint; a failure is told and counted, and the next one is tried in time."""
        try:
            return self._save_checkpoint()
        except TrainingError as error:
            self._display.warn(str(error))
            return None

    def _outcome(
        self,
        stop_reason: str,
        exit_code: int,
        saved: Checkpoint | None,
        evaluation: Evaluation | None,
    ) -> Outcome:
        sha256 = saved.weights.sha256 if saved else None
        return Outcome(stop_reason, exit_code, self._now(), sha256, evaluation)
