"""The training loop: fix a batch, play it, learn from it, record it, repeat.

It knows neither Ray nor MLflow: a backend plays and learns, tracking follows the journal.
"""

import time
from contextlib import suppress

from reinforce.cluster.backends.backend import Backend
from reinforce.cluster.batches import Batches
from reinforce.cluster.bookkeeping import Bookkeeping, RunContext
from reinforce.cluster.episode_metrics import MetricFaults
from reinforce.cluster.errors import InterruptedRunError, TrainingError
from reinforce.cluster.evaluation import Evaluation, Evaluator
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.summary import Outcome
from reinforce.configs.config import Config

_PAUSE_POLL_S = 0.2


class Training:
    """One run from its first ticket, or from a checkpoint, to its last checkpoint."""

    def __init__(
        self,
        config: Config,
        backend: Backend,
        context: RunContext,
        start: Checkpoint | None = None,
    ) -> None:
        self._config, self._context = config, context
        self._metric_faults = MetricFaults(config, context.warn)
        self._pool = backend.pool
        self._evaluator = Evaluator(config, backend.pool, self._metric_faults)
        self._batches = Batches(config, backend, start, context.warn)
        self._books = Bookkeeping(config, backend, self._batches, context, start)
        backend.pool.on_long_ticket = self._books.note_long_ticket
        self._weights = backend.learner.weights()
        self._sampled: Evaluation | None = None

    def run(self) -> Outcome:
        """Train until a limit of ``config.stop`` is reached or the user interrupts.

        An interruption is raised only while tickets are played or the learner computes, when
        journal, counters and the learner's last state agree on the version.

        Raises:
            TrainingError: A ticket, the workers or the learner failed for good.
        """
        try:
            while not (ending := self._ending(self._evaluate_if_due())):
                self._pause_if_requested()
                self.update()
                self._books.save_if_due()
        except Exception as error:  # noqa: BLE001 - raised again unless a signal is behind it
            return self._end_early(error)
        stop_reason, final = ending
        return self._outcome(stop_reason, 0, self._books.save(), final)

    def update(self) -> None:
        """Make one update and record it.

        Raises:
            TrainingError: A ticket, the workers or the learner failed for good.
        """
        started_s = time.perf_counter()
        progress = self._books.progress
        self._batches.fix(progress.updates, progress.batch_size.episodes, self._weights)
        batch = self._batches.collect(progress.updates)  # every ticket, in ticket order
        sampled_s = time.perf_counter()
        batch, report, self._weights = self._batches.learn(batch)  # version v -> v + 1
        learned_s = time.perf_counter()
        self._metric_faults.look_for(batch.reports, "a batch")
        is_compared = self._config.learner.baseline != "none"
        if progress.updates == 0 and is_compared and report.metrics["advantage_std"] == 0:
            self._context.warn(
                "all returns of the first batch are equal, so nothing can be learned from it "
                "(learner/advantage_std is 0); if that stays so, make some reward reachable for "
                "the policy as it begins"
            )
        self._books.note_update(batch, report, sampled_s - started_s, learned_s - sampled_s)

    def checkpoint(self) -> Checkpoint:
        """Return the run's state for a checkpoint."""
        return self._books.checkpoint()

    def _evaluate_if_due(self) -> Evaluation | None:
        started_s = time.perf_counter()
        updates = self._books.progress.updates
        evaluations = self._evaluator.evaluate_if_due(updates, self._weights)
        self._sampled = evaluations.sampled if evaluations else None
        if not evaluations:
            return None
        self._books.note_evaluation(evaluations, time.perf_counter() - started_s)
        return evaluations.deciding

    def _ending(self, evaluation: Evaluation | None) -> tuple[str, Evaluation] | None:
        """Return why the run is over and the confirmed evaluation, or None to continue."""
        progress = self._books.progress
        every = self._config.evaluation.every_updates
        limit = progress.reached_limit(self._config.stop, every)
        limit = limit or self._context.callbacks.stop_reason
        at_target = self._evaluator.at_target(evaluation)
        if not limit and not at_target:
            return None
        final = self._evaluator.confirm(progress.updates, self._weights)
        self._books.note_confirmation(final)
        if at_target and self._evaluator.at_target(final):
            return "target_return", final
        return (limit, final) if limit else None

    def _pause_if_requested(self) -> None:
        requests = self._context.requests
        if not requests.current.paused:
            return
        self._books.try_to_save()
        self._context.warn("paused, as requested; `reinforce unpause` continues")
        paused_s = time.perf_counter()
        try:
            while requests.current.paused:
                self._context.interrupts.check()
                self._pool.look_out()
                time.sleep(_PAUSE_POLL_S)
        finally:  # a signal may end it, and the run
            self._books.note_pause(time.perf_counter() - paused_s)

    def _end_early(self, error: Exception) -> Outcome:
        """Save what was learned; raise the error unless the user's signal caused it.

        A signal to the whole process group also ends parts of Ray, so it causes later failures.
        """
        interruption = self._context.interrupts.received
        if interruption is None:
            with suppress(TrainingError):  # what the last updates made survives the failure
                self._books.save()
            raise error
        saved = self._books.try_to_save()
        if not isinstance(error, InterruptedRunError):
            self._context.warn(f"after the signal: {error}")
        return self._outcome(str(interruption), interruption.exit_code, saved, None)

    def _outcome(
        self,
        stop_reason: str,
        exit_code: int,
        saved: Checkpoint | None,
        evaluation: Evaluation | None,
    ) -> Outcome:
        sha256 = saved.weights.sha256 if saved else None
        played = (evaluation, self._sampled if evaluation else None)
        return Outcome(stop_reason, exit_code, self._books.now(), sha256, *played)
