"""How far a run has come, and which limit ends it."""

from dataclasses import dataclass, field, replace
from typing import Self

from cluster.backend import Batch
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
        training_time_s: Seconds since the first ticket was issued, evaluations included.
    """

    updates: int = 0
    environment_steps: int = 0
    episodes: int = 0
    batch_size: BatchSize = field(default_factory=lambda: BatchSize(0))
    training_time_s: float = 0.0

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

    def at(self, training_time_s: float) -> Self:
        """Return the counters at a later time."""
        return replace(self, training_time_s=training_time_s)

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
