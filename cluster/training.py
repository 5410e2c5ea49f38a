"""The loop: a batch is fixed, played, learned from and recorded, over and over.

It knows neither Ray nor MLflow: a backend plays and learns, and tracking follows the journal.
"""

import time
from contextlib import suppress
from dataclasses import dataclass

from cluster.backend import Backend
from cluster.batch_size import BatchSize
from cluster.checkpoints import Checkpoint, Checkpoints
from cluster.display import Display
from cluster.errors import InterruptedRunError, LearnerLostError
from cluster.evaluation import Evaluation, Evaluator
from cluster.journal import (
    Journal,
    Record,
    confirmation_record,
    evaluation_record,
    update_record,
)
from cluster.progress import Progress
from cluster.run_directory import RunDirectory
from configs.config import Config
from workers.ticket import Purpose, Ticket, draw_tickets


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        stop_reason: The limit of the section ``stop`` that was reached, or the signal.
        exit_code: 0, or 128 + signal.
        progress: Counters at the end.
        weights_sha256: Digest of the last weights.
        evaluation: Of the last weights, on seeds of its own; None if interrupted.
    """

    stop_reason: str
    exit_code: int
    progress: Progress
    weights_sha256: str
    evaluation: Evaluation | None


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
    """One run from its first ticket to its last checkpoint."""

    def __init__(
        self, config: Config, backend: Backend, run: RunDirectory, display: Display
    ) -> None:
        self._config = config
        self._pool, self._learner = backend.pool, backend.learner
        self._journal = Journal(run.journal_file)
        self._checkpoints = Checkpoints(run.checkpoints, config.checkpoint)
        self._evaluator = Evaluator(config, self._pool)
        self._display = display
        self._weights = self._learner.weights()
        self._progress = Progress(batch_size=BatchSize.first(config.learner))
        self._num_submitted = 0
        self._began_s = time.perf_counter()

    def run(self) -> Outcome:
        """Train until a limit of ``config.stop`` is reached or the user interrupts.

        An interruption is raised only while tickets are played, when learner, journal and progress
        agree on the version.

        Raises:
            TrainingError: A ticket, the workers or the learner failed for good.
        """
        exit_code, final = 0, None
        try:
            while not (ending := self._ending(self._evaluate_if_due())):
                self._update()
                if self._checkpoints.is_due():
                    self._save_checkpoint()
            stop_reason, final = ending
        except InterruptedRunError as interruption:
            stop_reason, exit_code = str(interruption), interruption.exit_code
        except Exception:
            with suppress(LearnerLostError):  # what the last updates made survives the failure
                self._save_checkpoint()
            raise
        finally:
            self._journal.close()
        self._save_checkpoint()
        sha256 = self._learner.fetch(self._weights).sha256
        return Outcome(stop_reason, exit_code, self._progress, sha256, final)

    def _update(self) -> None:
        started_s = time.perf_counter()
        update = self._progress.updates
        self._submit_up_to(update + self._config.cluster.lookahead)
        batch = self._pool.collect(Purpose.TRAINING, update)  # every ticket, in ticket order
        sampled_s = time.perf_counter()
        report, self._weights = self._learner.update(batch.trajectories)  # version v -> v + 1
        learned_s = time.perf_counter()
        signal, noise = report.metrics["gradient_signal"], report.metrics["gradient_noise"]
        size = self._progress.batch_size.after_update(signal, noise, self._config.learner)
        self._progress = self._progress.after_update(batch, size).at(learned_s - self._began_s)
        self._record(
            update_record(
                self._progress,
                batch,
                report,
                sampling_s=sampled_s - started_s,
                learning_s=learned_s - sampled_s,
                pool=self._pool,
            )
        )

    def _submit_up_to(self, update: int) -> None:
        """Fix the batches up to this update; they are played with the weights of now.

        With lookahead 1 the batch of update k is played with version k - 1, always: while the
        learner makes version k of the batch before it. The first two are played with version 0.
        """
        last = min(update, self._config.stop.max_updates - 1)
        while self._num_submitted <= last:
            size = self._progress.batch_size.episodes
            tickets = training_tickets(self._config, self._num_submitted, size)
            self._pool.submit(tickets, self._weights)
            self._num_submitted += 1

    def _evaluate_if_due(self) -> Evaluation | None:
        started_s = time.perf_counter()
        evaluation = self._evaluator.evaluate_if_due(self._progress.updates, self._weights)
        if evaluation:
            now_s = time.perf_counter()
            self._progress = self._progress.at(now_s - self._began_s)
            best, duration_s = self._evaluator.best, now_s - started_s
            self._record(evaluation_record(self._progress, evaluation, best, duration_s))
        return evaluation

    def _ending(self, evaluation: Evaluation | None) -> tuple[str, Evaluation] | None:
        """Return why the run is over and the confirmed evaluation, or None to go on."""
        limit = self._progress.reached_limit(self._config.stop)
        at_target = self._evaluator.at_target(evaluation)
        if not limit and not at_target:
            return None
        final = self._evaluator.confirm(self._progress.updates, self._weights)
        self._progress = self._progress.at(time.perf_counter() - self._began_s)
        self._record(confirmation_record(self._progress, final))
        if at_target and self._evaluator.at_target(final):
            return "target_return", final
        return (limit, final) if limit else None

    def _record(self, record: Record) -> None:
        self._journal.append(record)
        self._display.show(record)

    def _save_checkpoint(self) -> None:
        self._checkpoints.save(Checkpoint(self._learner.state(), self._progress))
