"""How far a run has come, and which limit ends it."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from reinforce.cluster.backends.backend import Backend, Batch, TicketCounts
from reinforce.cluster.typed_json import Count
from reinforce.configs.experiment import StopConfig
from reinforce.configs.learning import LearnerConfig

_KEPT = 0.8
"""Share of the running means of signal and noise that survives an update."""

_GROWTH = 1.5


@dataclass(frozen=True)
class BatchSize:
    """Episodes of the batch that is drawn next. A function of earlier updates alone.

    So it is known before the batch is sampled, and the same for any number of workers.

    Attributes:
        episodes: Episodes of the next batch.
        signal: Exponential sum of the gradients' signals since the size last changed. (With
            lookahead 1 the first of them still comes from a batch of the size before.)
        noise: The same of their noises.
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
        """Return the size to go on with when the configuration has been changed."""
        if config.episodes_per_update != "auto":
            return type(self)(config.episodes_per_update)
        smallest, largest = config.episodes_bounds
        episodes = min(max(self.episodes, smallest), largest)
        return self if episodes == self.episodes else type(self)(episodes)

    def after_update(self, signal: float, noise: float, config: LearnerConfig) -> Self:
        """Return the size after an update whose gradient had this signal and noise; NaN if none.

        The ratio of the two grows in proportion to the number of episodes. While that of their
        running means, over some five updates, is below the target, the batch grows by half, up to
        its bound. No signal and no noise is a ratio of 0: all episodes were alike, and more are
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
        updates: Updates of the weights: the version of the learner.
        environment_steps: Steps that were learned from; those of evaluations are not counted.
        episodes: Episodes that were learned from.
        batch_size: Size of the batch that is drawn next.
        training_time_s: Seconds since the first ticket was issued, evaluations included, without
            those between an interruption and the resumption.
        best_return: Highest mean return of the regular evaluations, or mean of
            ``stop.target_metric``; None before the first.
        tickets: What became of the tickets.
        worker_restarts: Workers that had to be replaced.
        learner_restarts: Times that the learner's process had to be replaced.
        best_update: Updates that made the weights that reached ``best_return``; None before the
            first evaluation, and in checkpoints of version 0.1.
        spilled_bytes: What Ray's object stores had no room for, and put on a disk.
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
        """Return the counters after one more update, which learned from this batch."""
        return replace(
            self,
            batch_size=batch_size,
            updates=self.updates + 1,
            environment_steps=self.environment_steps
            + sum(int(report.episode_lengths.sum()) for report in batch.reports),
            episodes=self.episodes + sum(len(report.episode_lengths) for report in batch.reports),
        )

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
            spilled_bytes=earlier.spilled_bytes + backend.pool.spilled_bytes,
        )

    def resumed(self) -> Self:
        """Return the counters to go on from: what was in flight is drawn again."""
        return replace(self, tickets=self.tickets.closed())

    def with_evaluation(self, score: float | None) -> Self:
        """Return the counters after a regular evaluation: others if it is the best so far.

        NaN is never the best, neither now nor where a checkpoint says so.
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
        """Return the limit that comes first at this pace, and how much is used up, in [0, 1]."""
        used = {
            "max_updates": self.updates / stop.max_updates,
            "max_environment_steps": self.environment_steps
            / (stop.max_environment_steps or math.inf),
            "max_wall_time_s": self.training_time_s / (stop.max_wall_time_s or math.inf),
        }
        name = max(used, key=used.__getitem__)
        return name, min(1.0, used[name])
