"""Evaluation: how good one version of the weights is, on tickets that are never learned from."""

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
from reinforce.workers.rollout_worker import RolloutReport
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets


@dataclass(frozen=True)
class Evaluation:
    """Returns of fresh episodes, undiscounted, in the environment's unit.

    Attributes:
        episodes: Number of episodes.
        greedy: Whether the most probable action was taken.
        return_mean: Mean return.
        return_ci95: 95 % interval of the mean by Student's t. It covers the chance of episodes, not
            that of training, and may reach beyond the returns that are possible. NaN for a single
            episode.
        return_min: Worst episode.
        return_max: Best episode.
        metrics: By name, the mean of what ``info`` says, over the episodes that have it.
        metric_episodes: How many those are, of metrics that some episodes lack.
        num_cut: Episodes that did not end and were cut; their returns count as they stood.
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
        """Return the statistics of played tickets, all greedy or none."""
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
        """Return a sentence for an evaluation with episodes that were cut."""
        return (
            f"{self.num_cut} of {self.episodes} evaluation episodes did not end and were cut "
            "(evaluation.max_episode_steps); their returns count as they stood. Set "
            "environment.max_episode_steps, so that training ends them, too"
        )

    def score(self, metric: str | None) -> float | None:
        """Return the mean of a metric, None if no episode has it; or of the return, if None."""
        return self.return_mean if metric is None else self.metrics.get(metric)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as ``summary.json`` holds them; None for an interval that is NaN."""
        has_interval = self.episodes > 1
        return {**asdict(self), "return_ci95": self.return_ci95 if has_interval else None}


@dataclass(frozen=True)
class Evaluations:
    """One version of the weights, measured in as many ways as ``evaluation.greedy`` says.

    Attributes:
        deciding: What is compared with the target and with other versions.
        sampled: With sampled actions besides; None unless ``evaluation.greedy`` is ``both``.
    """

    deciding: Evaluation
    sampled: Evaluation | None = None


def evaluation_tickets(config: Config, purpose: Purpose, update: int) -> list[Ticket]:
    """Return the tickets of an evaluation: those that decide first, then sampled ones, if any."""
    evaluation, size = config.evaluation, config.workers.episodes_per_ticket

    def draw(first_index: int, *, greedy: bool) -> list[Ticket]:
        numbers = (config.run.seed, purpose, update, evaluation.episodes, size)
        return draw_tickets(*numbers, greedy=greedy, first_index=first_index)

    tickets = draw(0, greedy=evaluation.greedy is not False)
    if evaluation.greedy == "both" and purpose is Purpose.EVALUATION:
        tickets += draw(len(tickets), greedy=False)
    return tickets


def in_words(evaluation: dict[str, Any]) -> str:
    """Return the metrics of an evaluation as ``summary.json`` holds it, in words; "" if none."""
    counts = evaluation.get("metric_episodes", {})
    return ", ".join(
        f"{name} {number(mean)}" + (f" (in {counts[name]} episodes)" if name in counts else "")
        for name, mean in evaluation.get("metrics", {}).items()
    )


class Evaluator:
    """Measures versions of the weights on the pool that samples, between two batches.

    Regular evaluations play the same seeds for every version, so that versions are compared on
    equal terms. Whatever is selected by them is then confirmed on seeds of its own: the best of
    many looks better than it is.
    """

    def __init__(self, config: Config, pool: Pool, metric_faults: MetricFaults) -> None:
        import scipy.special  # noqa: F401 - takes 0.2 s: now, so that no evaluation waits for it

        self._config, self._pool, self._metric_faults = config, pool, metric_faults

    def evaluate_if_due(self, updates: int, weights: WeightsHandle) -> Evaluations | None:
        """Play the fixed seeds after every so many updates, before the first one included.

        Raises:
            MissingMetricError: Before anything is learned: the metric to go by is in no episode.
        """
        every = self._config.evaluation.every_updates
        if every is None or updates % every != 0:
            return None
        evaluations = self._play(Purpose.EVALUATION, 0, weights)
        if updates == 0 and self.score(evaluations.deciding) is None:
            given = ", ".join(evaluations.deciding.metrics)
            raise MissingMetricError(
                f"stop.target_metric = {self._config.stop.target_metric!r}: none of the "
                f"{evaluations.deciding.episodes} episodes of the first evaluation has it in info; "
                "have the environment put it there, as a number, when an episode ends"
                + (f", or choose one that it gives: {given}" if given else "")
            )
        return evaluations

    def score(self, evaluation: Evaluation) -> float | None:
        """Return what versions are compared by; None if no episode has it."""
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

    def _play(self, purpose: Purpose, update: int, weights: WeightsHandle) -> Evaluations:
        self._pool.submit(evaluation_tickets(self._config, purpose, update), weights)
        played = self._pool.collect(purpose, update).reports
        self._metric_faults.look_for(played, "an evaluation")
        reports: dict[bool, list[RolloutReport]] = {}
        for report in played:
            reports.setdefault(report.ticket.greedy, []).append(report)
        deciding, *others = map(Evaluation.of_reports, reports.values())
        return Evaluations(deciding, *others)
