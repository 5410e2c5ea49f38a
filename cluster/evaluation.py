"""Evaluation: measures one version of the weights on tickets that are not used for learning."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.backends.backend import Pool, WeightsHandle
from reinforce.cluster.episode_metrics import (
    EpisodeMetrics,
    MetricFaults,
    episode_metrics,
    means,
    num_episodes_with,
)
from reinforce.cluster.errors import MissingMetricError
from reinforce.cluster.number_format import number
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets


@dataclass(frozen=True)
class Evaluation:
    """Statistics of fresh episodes' returns, undiscounted, in the environment's unit.

    Attributes:
        episodes: Number of episodes.
        greedy: Whether the most probable action was taken.
        return_mean: Mean return.
        return_ci95: 95 % interval of the mean by Student's t. It covers the randomness of episodes,
            not that of training, and may exceed the possible returns. NaN for a single episode.
        return_min: Worst episode.
        return_max: Best episode.
        metrics: By name, the mean of values in ``info`` over the episodes with it.
        metric_episodes: Number of these episodes, for metrics that some episodes lack.
        num_cut: Episodes that did not end and were cut; their returns count up to the cut.
    """

    episodes: int
    greedy: bool
    return_mean: float
    return_ci95: tuple[float, float]
    return_min: float
    return_max: float
    metrics: dict[str, float] = field(default_factory=dict)
    metric_episodes: dict[str, int] = field(default_factory=dict)
    num_cut: int = 0

    @classmethod
    def of_reports(cls, reports: Sequence[RolloutReport]) -> "Evaluation":
        """Return the statistics of played tickets, either all greedy or none."""
        return cls.of(
            np.concatenate([report.episode_returns for report in reports]),
            greedy=reports[0].ticket.greedy,
            metrics=episode_metrics(reports),
            num_cut=sum(report.num_cut for report in reports),
        )

    @classmethod
    def of(
        cls,
        returns: NDArray[np.float64],
        *,
        greedy: bool,
        metrics: EpisodeMetrics | None = None,
        num_cut: int = 0,
    ) -> "Evaluation":
        """Return the statistics of [E >= 1] episode returns, and of their metrics."""
        from scipy.special import stdtrit

        mean, half_width = float(returns.mean()), math.nan
        if len(returns) > 1:
            error = returns.std(ddof=1) / np.sqrt(len(returns))
            half_width = float(stdtrit(len(returns) - 1, 0.975) * error)
        return cls(
            episodes=len(returns),
            greedy=greedy,
            return_mean=mean,
            return_ci95=(mean - half_width, mean + half_width),
            return_min=float(returns.min()),
            return_max=float(returns.max()),
            metrics=means(metrics or {}),
            metric_episodes=num_episodes_with(metrics or {}),
            num_cut=num_cut,
        )

    def cuts_in_words(self) -> str:
        """Return a warning about cut episodes."""
        return (
            f"{self.num_cut} of {self.episodes} evaluation episodes did not end and were cut "
            "(evaluation.max_episode_steps); their returns count up to the cut. Set "
            "environment.max_episode_steps, so that training ends them, too"
        )

    def score(self, metric: str | None) -> float | None:
        """Return the mean of a metric, or None if no episode has it; by default, of the return."""
        return self.return_mean if metric is None else self.metrics.get(metric)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for ``summary.json``; None for an interval that is NaN."""
        has_interval = self.episodes > 1
        return {**asdict(self), "return_ci95": self.return_ci95 if has_interval else None}


@dataclass(frozen=True)
class Evaluations:
    """Evaluations of one version of the weights, in the ways that ``evaluation.greedy`` names.

    Attributes:
        deciding: The evaluation to compare with the target and other versions.
        sampled: An additional one with sampled actions; None unless ``evaluation.greedy`` is
            ``both``.
    """

    deciding: Evaluation
    sampled: Evaluation | None = None


def evaluation_tickets(config: Config, purpose: Purpose, update: int) -> list[Ticket]:
    """Return the tickets of an evaluation: the deciding ones first, then sampled ones, if any."""
    evaluation, size = config.evaluation, config.workers.episodes_per_ticket

    def draw(first_index: int, *, greedy: bool) -> list[Ticket]:
        numbers = (config.run.seed, purpose, update, evaluation.episodes, size)
        return draw_tickets(*numbers, greedy=greedy, first_index=first_index)

    tickets = draw(0, greedy=evaluation.greedy is not False)
    if evaluation.greedy == "both" and purpose is Purpose.EVALUATION:
        tickets += draw(len(tickets), greedy=False)
    return tickets


def in_words(evaluation: dict[str, Any]) -> str:
    """Return the metrics of an evaluation in ``summary.json`` in words; "" if none."""
    counts = evaluation.get("metric_episodes", {})
    return ", ".join(
        f"{name} {number(mean)}"
        + (f" (in {counted(counts[name], 'episode')})" if name in counts else "")
        for name, mean in evaluation.get("metrics", {}).items()
    )


class Evaluator:
    """Measures versions of the weights on the sampling pool, between two batches.

    Regular evaluations play the same seeds for every version, so that versions are compared on
    equal terms. A selected version is then confirmed on other seeds: the best of many looks better
    than it is.
    """

    def __init__(self, config: Config, pool: Pool, metric_faults: MetricFaults) -> None:
        import scipy.special  # noqa: F401 - takes 0.2 s: now, so that no evaluation waits for it

        self._config, self._pool, self._metric_faults = config, pool, metric_faults

    def evaluate_if_due(self, updates: int, weights: WeightsHandle) -> Evaluations | None:
        """Play the fixed seeds every ``every_updates`` updates, beginning before the first.

        Raises:
            MissingMetricError: Before any learning: no episode has the target metric.
        """
        every = self._config.evaluation.every_updates
        if every is None or updates % every != 0:
            return None
        return self._play(Purpose.EVALUATION, 0, weights, is_first=updates == 0)

    def _require_goal(self, first: Evaluation) -> None:
        """Raise MissingMetricError if no episode of the first evaluation has the target metric."""
        if self.score(first) is None:
            given = ", ".join(first.metrics)
            raise MissingMetricError(
                f"stop.target_metric = {self._config.stop.target_metric!r}: none of the "
                f"{counted(first.episodes, 'episode')} of the first evaluation has it in info; "
                "let the environment put it there, as a number, when an episode ends"
                + (f", or choose one that it reports: {given}" if given else "")
            )

    def score(self, evaluation: Evaluation) -> float | None:
        """Return the value for comparing versions; None if no episode has it."""
        return evaluation.score(self._config.stop.target_metric)

    def at_target(self, evaluation: Evaluation | None) -> bool:
        """Return whether an evaluation reaches ``stop.target_return`` in all its episodes."""
        target = self._config.stop.target_return
        score = self.score(evaluation) if evaluation else None
        # A mean over those episodes alone that have it: of successes, perhaps.
        if evaluation and self._config.stop.target_metric in evaluation.metric_episodes:
            return False
        return score is not None and target is not None and score >= target

    def confirm(self, updates: int, weights: WeightsHandle) -> Evaluation:
        """Play seeds that no other evaluation plays."""
        return self._play(Purpose.CONFIRMATION, updates, weights).deciding

    def _play(
        self, purpose: Purpose, update: int, weights: WeightsHandle, *, is_first: bool = False
    ) -> Evaluations:
        self._pool.submit(evaluation_tickets(self._config, purpose, update), weights)
        played = self._pool.collect(purpose, update).reports
        reports: dict[bool, list[RolloutReport]] = {}
        for report in played:
            reports.setdefault(report.ticket.greedy, []).append(report)
        deciding, *others = map(Evaluation.of_reports, reports.values())
        if is_first:
            self._require_goal(deciding)
        self._metric_faults.look_for(played, "an evaluation")
        return Evaluations(deciding, *others)
