"""Records: what the journal says of an update or an evaluation, one line of JSON each."""

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluster.backends.backend import Batch
from cluster.evaluation import Evaluation, Evaluations
from cluster.progress import Progress
from learner.update_report import UpdateReport

_BEGAN_NS = time.time_ns() - time.monotonic_ns()
"""Added to the monotonic clock, it gives Unix time that never jumps while a process lives."""


@dataclass(frozen=True)
class BatchRecord:
    """The episodes of one update.

    Attributes:
        sha256: Digest of all trajectories in ticket order. Two runs that agree in it have learned
            from the same bits.
        episode_returns: One per episode, undiscounted, in ticket order.
        episode_lengths: One per episode, in steps.
    """

    sha256: str
    episode_returns: list[float]
    episode_lengths: list[int]

    @classmethod
    def of(cls, batch: Batch) -> "BatchRecord":
        """Return the record of a played batch."""
        digests = "".join(report.trajectories_sha256 for report in batch.reports)
        return cls(
            hashlib.sha256(digests.encode()).hexdigest(),
            np.concatenate([report.episode_returns for report in batch.reports]).tolist(),
            np.concatenate([report.episode_lengths for report in batch.reports]).tolist(),
        )


@dataclass(frozen=True)
class Record:
    """One line of the journal: an update, or an evaluation of the weights that it made.

    Attributes:
        updates: Updates applied so far.
        environment_steps: Steps learned from so far: the x-axis of every metric.
        training_time_s: Seconds since the first ticket was issued.
        timestamp_ms: Unix time in milliseconds.
        metrics: Finite numbers by name ``section/name``.
        batch: The episodes that the update learned from; None for an evaluation.
    """

    updates: int
    environment_steps: int
    training_time_s: float
    timestamp_ms: int
    metrics: dict[str, float]
    batch: BatchRecord | None = None

    @classmethod
    def parse(cls, line: str | bytes) -> "Record":
        """Return the record that a line of the journal holds."""
        values: dict[str, Any] = json.loads(line)
        batch = values.pop("batch", None)
        return cls(**values, batch=BatchRecord(**batch) if batch else None)

    def line(self) -> str:
        """Return the record as one line of the journal."""
        # vars() and not asdict(), which copies every return of every episode one by one.
        batch = vars(self.batch) if self.batch else None
        return json.dumps({**vars(self), "batch": batch}, allow_nan=False) + "\n"


def update_record(
    progress: Progress,
    batch: Batch,
    report: UpdateReport,
    sampling_s: float,
    learning_s: float,
    workers_alive: int,
    checkpoints_failed: int,
) -> Record:
    """Return the record of one update; times are wall clock as the driver saw them."""
    episodes = BatchRecord.of(batch)
    returns, lengths = episodes.episode_returns, episodes.episode_lengths
    metrics = {
        "rollout/return_mean": sum(returns) / len(returns),
        "rollout/return_min": min(returns),
        "rollout/return_max": max(returns),
        "rollout/num_episodes": len(lengths),
        "rollout/episode_length_mean": sum(lengths) / len(lengths),
        "rollout/truncated_fraction": sum(report.num_truncated for report in batch.reports)
        / len(lengths),
        "rollout/unknown_category_fraction": sum(report.num_unknown for report in batch.reports)
        / sum(lengths),
        **{f"learner/{name}": value for name, value in report.metrics.items()},
        **{f"tickets/{name}": count for name, count in asdict(progress.tickets).items()},
        "time/sampling_s": sampling_s,
        "time/learning_s": learning_s,
        "time/environment_steps_per_s": sum(lengths) / (sampling_s + learning_s),
        "cluster/workers_alive": workers_alive,
        "cluster/worker_restarts": progress.worker_restarts,
        "cluster/learner_restarts": progress.learner_restarts,
        "checkpoint/failed": checkpoints_failed,
        "progress/updates": progress.updates,
        "progress/episodes": progress.episodes,
        "progress/training_time_s": progress.training_time_s,
    }
    return _record(progress, metrics, episodes)


def evaluation_record(
    progress: Progress, evaluations: Evaluations, best: float, evaluation_s: float
) -> Record:
    """Return the record of an evaluation; ``best`` is the highest mean return so far."""
    metrics = {
        **_return_metrics("", evaluations.deciding),
        **(_return_metrics("sampled_", evaluations.sampled) if evaluations.sampled else {}),
        "evaluation/return_best": best,
        "time/evaluation_s": evaluation_s,
    }
    return _record(progress, metrics, None)


def confirmation_record(progress: Progress, evaluation: Evaluation) -> Record:
    """Return the record of an evaluation on seeds of its own, which ends a run or fails to."""
    return _record(progress, _return_metrics("confirmed_", evaluation), None)


def _return_metrics(prefix: str, evaluation: Evaluation) -> dict[str, float]:
    low, high = evaluation.return_ci95
    return {
        f"evaluation/{prefix}return_mean": evaluation.return_mean,
        f"evaluation/{prefix}return_ci_low": low,
        f"evaluation/{prefix}return_ci_high": high,
    }


def _record(progress: Progress, metrics: dict[str, float], batch: BatchRecord | None) -> Record:
    return Record(
        updates=progress.updates,
        environment_steps=progress.environment_steps,
        training_time_s=progress.training_time_s,
        timestamp_ms=(_BEGAN_NS + time.monotonic_ns()) // 1_000_000,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        batch=batch,
    )
