"""The progress of a run, and its limits."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from reinforce.cluster.backends.backend import Backend, Batch, TicketCounts
from reinforce.cluster.typed_json import Count
from reinforce.configs.experiment import StopConfig
from reinforce.configs.learning import LearnerConfig

_KEPT = 0.8
"""Share of the running means of signal and noise that remains after an update."""

_GROWTH = 1.5


@dataclass(frozen=True)
class BatchSize:
    """The size of the next batch, a function of earlier updates only.

    So it is known before the batch is sampled, and the same for any number of workers.

    Attributes:
        episodes: Episodes of the next batch.
        signal: Exponential sum of the gradients' signals since the size last changed. (With
            lookahead 1 the first one still comes from a batch of the previous size.)
        noise: The same for their noises.
        weight: Weight of these sums, in [0, 1).
    """

    episodes: Count
    signal: float = 0.0
    noise: float = 0.0
    weight: float = 0.0

    @classmethod
    def first(cls, config: LearnerConfig) -> Self:
        """Return the size of the first batch."""
        if config.episodes_per_update == "auto":
            return cls(config.episodes_bounds[0])
        return cls(config.episodes_per_update)

    def under(self, config: LearnerConfig) -> Self:
        """Return the size to continue with after a change of the configuration."""
        if config.episodes_per_update != "auto":
            return type(self)(config.episodes_per_update)
        smallest, largest = config.episodes_bounds
        episodes = min(max(self.episodes, smallest), largest)
        return self if episodes == self.episodes else type(self)(episodes)

    def after_update(self, signal: float, noise: float, config: LearnerConfig) -> Self:
        """Return the size after an update whose gradient had this signal and noise, or NaN.

        Their ratio grows in proportion to the number of episodes. While the ratio of their running
        means, over about five updates, is below the target, the batch grows by half, up to its
        bound. Neither signal nor noise counts as a ratio of 0: all episodes were alike, so more are
        needed.
        """
        if config.episodes_per_update != "auto" or math.isnan(noise):
            return self
        signal = _KEPT * self.signal + (1 - _KEPT) * signal
        noise = _KEPT * self.noise + (1 - _KEPT) * noise
        weight = _KEPT * self.weight + (1 - _KEPT)
        enough = weight < 0.5 or (signal > 0 and signal >= config.gradient_snr_target * noise)
        if enough or self.episodes >= config.episodes_bounds[1]:
            return type(self)(self.episodes, signal, noise, weight)
        return type(self)(min(int(self.episodes * _GROWTH) + 1, config.episodes_bounds[1]))


@dataclass(frozen=True)
class Progress:
    """Counters of a run.

    Attributes:
        updates: Updates of the weights, the version of the learner.
        environment_steps: Training steps, without those of evaluations.
        episodes: Training episodes.
        batch_size: Size of the next batch.
        training_time_s: Seconds since the first ticket was issued, including evaluations, but not
            the time between an interruption and resuming.
        best_return: Highest mean return of the regular evaluations, or mean of
            ``stop.target_metric``; None before the first.
        tickets: Counts of tickets.
        worker_restarts: Number of replaced workers.
        learner_restarts: Number of times that the learner's process was replaced.
        best_update: Updates behind the weights that reached ``best_return``; None before the first
            evaluation, and in checkpoints of version 0.1.
        spilled_bytes: Bytes that Ray's object stores spilled to disk.
    """

    updates: Count = 0
    environment_steps: Count = 0
    episodes: Count = 0
    batch_size: BatchSize = field(default_factory=lambda: BatchSize(0))
    training_time_s: float = 0.0
    best_return: float | None = None
    tickets: TicketCounts = field(default_factory=TicketCounts)
    worker_restarts: Count = 0
    learner_restarts: Count = 0
    best_update: Count | None = None
    spilled_bytes: Count = 0

    def after_update(self, batch: Batch, batch_size: BatchSize) -> Self:
        """Return the counters after another update with this batch."""
        return replace(
            self,
            batch_size=batch_size,
            updates=self.updates + 1,
            environment_steps=self.environment_steps
            + sum(int(report.episode_lengths.sum()) for report in batch.reports),
            episodes=self.episodes + sum(len(report.episode_lengths) for report in batch.reports),
        )

    def now(self, earlier: "Progress", backend: Backend, elapsed_s: float) -> Self:
        """Return the counters, updated from the clock and the backend.

        Args:
            earlier: The counters at the start of this process.
            backend: The backend, with its counts since then.
            elapsed_s: Seconds since then.
        """
        return replace(
            self,
            training_time_s=earlier.training_time_s + elapsed_s,
            tickets=earlier.tickets + backend.pool.counts,
            worker_restarts=earlier.worker_restarts + backend.pool.worker_restarts,
            learner_restarts=earlier.learner_restarts + backend.learner.restarts,
            spilled_bytes=earlier.spilled_bytes + backend.pool.spilled_bytes,
        )

    def resumed(self) -> Self:
        """Return the counters to continue from: tickets in flight are drawn again."""
        return replace(self, tickets=self.tickets.closed())

    def with_evaluation(self, score: float | None) -> Self:
        """Return the counters after a regular evaluation, with a new best if it is one.

        NaN is never the best, not even in a checkpoint.
        """
        if score is None or math.isnan(score):
            return self
        if self.best_return is not None and score <= self.best_return:
            return self
        return replace(self, best_return=score, best_update=self.updates)

    def reached_limit(self, stop: StopConfig, updates_per_evaluation: int | None) -> str | None:
        """Return the name of the limit that is reached, or None."""
        if self.updates >= stop.max_updates:
            return "max_updates"
        if stop.max_environment_steps and self.environment_steps >= stop.max_environment_steps:
            return "max_environment_steps"
        if stop.max_wall_time_s and self.training_time_s >= stop.max_wall_time_s:
            return "max_wall_time_s"
        if stop.patience_evaluations and updates_per_evaluation and self.best_update is not None:
            # Not counted one by one: a run that is resumed plays its last evaluation again.
            first, last = (n // updates_per_evaluation for n in (self.best_update, self.updates))
            if last - first >= stop.patience_evaluations:
                return "patience_evaluations"
        return None

    def nearest_limit(self, stop: StopConfig) -> tuple[str, float]:
        """Return the limit that will come first at this pace, and its used share, in [0, 1]."""
        used = {
            "max_updates": self.updates / stop.max_updates,
            "max_environment_steps": self.environment_steps
            / (stop.max_environment_steps or math.inf),
            "max_wall_time_s": self.training_time_s / (stop.max_wall_time_s or math.inf),
        }
        name = max(used, key=used.__getitem__)
        return name, min(1.0, used[name])
