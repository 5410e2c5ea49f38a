"""How far a run has come, and which limit ends it."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from cluster.backends.backend import Backend, Batch
from cluster.backends.ticket_counts import TicketCounts
from cluster.batch_size import BatchSize
from configs.experiment import StopConfig


@dataclass(frozen=True)
class Progress:
    """Counters of a run.

    Attributes:
        updates: Updates of the weights: the version of the learner.
        environment_steps: Steps that were learned from; those of evaluations are not counted.
        episodes: Episodes that were learned from.
        batch_size: Size of the batch that is drawn next.
        training_time_s: Seconds since the first ticket was issued, evaluations included, without
            those between an interruption and the resumption.
        best_return: Highest mean return of the regular evaluations; None before the first.
        tickets: What became of the tickets.
        worker_restarts: Workers that had to be replaced.
        learner_restarts: Times that the learner's process had to be replaced.
    """

    updates: int = 0
    environment_steps: int = 0
    episodes: int = 0
    batch_size: BatchSize = field(default_factory=lambda: BatchSize(0))
    training_time_s: float = 0.0
    best_return: float | None = None
    tickets: TicketCounts = field(default_factory=TicketCounts)
    worker_restarts: int = 0
    learner_restarts: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the counters that ``dataclasses.asdict`` made this mapping of."""
        batch_size, tickets = BatchSize(**values["batch_size"]), TicketCounts(**values["tickets"])
        return cls(**{**values, "batch_size": batch_size, "tickets": tickets})

    def after_update(self, batch: Batch, batch_size: BatchSize) -> Self:
        """Return the counters after one more update, which learned from this batch."""
        return replace(
            self,
            batch_size=batch_size,
            updates=self.updates + 1,
            environment_steps=self.environment_steps
            + sum(int(report.episode_lengths.sum()) for report in batch.reports),
            episodes=self.episodes + sum(len(report.episode_lengths) for report in batch.reports),
        )

    def is_best(self, return_mean: float) -> bool:
        """Return whether a regular evaluation is better than those before it."""
        return self.best_return is None or return_mean > self.best_return

    def with_best(self, return_mean: float) -> Self:
        """Return the counters after an evaluation that was the best."""
        return replace(self, best_return=return_mean)

    def now(self, earlier: "Progress", backend: Backend, elapsed_s: float) -> Self:
        """Return the counters with those of the clock and of the backend brought up to date.

        Args:
            earlier: Those that this process started from.
            backend: What it counted since.
            elapsed_s: Seconds since.
        """
        return replace(
            self,
            training_time_s=earlier.training_time_s + elapsed_s,
            tickets=earlier.tickets + backend.pool.counts,
            worker_restarts=earlier.worker_restarts + backend.pool.worker_restarts,
            learner_restarts=earlier.learner_restarts + backend.learner.restarts,
        )

    def resumed(self) -> Self:
        """Return the counters to go on from: what was in flight is drawn again."""
        return replace(self, tickets=self.tickets.closed())

    def reached_limit(self, stop: StopConfig) -> str | None:
        """Return the name of the limit that is reached, or None."""
        if self.updates >= stop.max_updates:
            return "max_updates"
        if stop.max_environment_steps and self.environment_steps >= stop.max_environment_steps:
            return "max_environment_steps"
        if stop.max_wall_time_s and self.training_time_s >= stop.max_wall_time_s:
            return "max_wall_time_s"
        return None

    def fraction_used(self, stop: StopConfig) -> float:
        """Return how much of the nearest limit is used up, in [0, 1]."""
        steps = self.environment_steps / (stop.max_environment_steps or float("inf"))
        time = self.training_time_s / (stop.max_wall_time_s or float("inf"))
        return min(1.0, max(self.updates / stop.max_updates, steps, time))
