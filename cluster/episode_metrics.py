"""Metrics of episodes from ``info``, combined for a batch or an evaluation in ticket order."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.workers.rollout_worker import RolloutReport

EpisodeMetrics = Mapping[str, Sequence[float | None]]
"""By name, a value per episode in ticket order; None for an episode without it."""


def episode_metrics(reports: Sequence[RolloutReport]) -> dict[str, list[float | None]]:
    """Return the metrics of some tickets' episodes, by name in alphabetical order."""
    names = sorted({name for report in reports for name in report.episode_metrics})
    return {
        name: [
            None if np.isnan(value) else value
            for report in reports
            for value in _values_of(report, name).tolist()
        ]
        for name in names
    }


def _values_of(report: RolloutReport, name: str) -> NDArray[np.float64]:
    absent = np.full(len(report.episode_lengths), np.nan)
    return report.episode_metrics.get(name, absent)


def means(metrics: EpisodeMetrics) -> dict[str, float]:
    """Return each metric's mean over the episodes with it."""
    present = {name: [v for v in values if v is not None] for name, values in metrics.items()}
    return {name: sum(values) / len(values) for name, values in present.items()}


def num_episodes_with(metrics: EpisodeMetrics) -> dict[str, int]:
    """Return the number of episodes behind a mean, for metrics that some episodes lack."""
    return {
        name: sum(value is not None for value in values)
        for name, values in metrics.items()
        if None in values
    }


class MetricFaults:
    """Warns once per run and metric about values in ``info`` that are missing or do not count.

    Args:
        config: The configuration, with the requested metrics.
        warn: Called with warnings for the user.
    """

    def __init__(self, config: Config, warn: Callable[[str], None]) -> None:
        self._requested, self._warn = config.requested_metrics, warn
        self._goal = config.stop.target_metric
        self._told: set[str] = set()

    def look_for(self, reports: Sequence[RolloutReport], where: str) -> None:
        """Check played episodes, which ``where`` names."""
        for report in reports:
            for name, fault in report.metric_faults.items():
                self._tell(
                    name,
                    f"info[{name!r}] is {fault} in ticket {report.ticket}, which is not a finite "
                    "number: an episode with such a value counts as having no such metric",
                )
        counts = num_episodes_with(episode_metrics(reports))
        if self._goal in counts:
            self._tell(
                f"{self._goal} in all",
                f"stop.target_metric = {self._goal!r} is known of only "
                f"{counted(counts[self._goal], 'episode')} of {where}: the target counts as "
                "reached only when all have it; let the "
                "environment report it at the end of every episode",
            )
        for name in self._requested:
            if not any(name in report.episode_metrics for report in reports):
                self._tell(
                    name,
                    f"no episode of {where} has {name!r} in info, so the metric is missing",
                )

    def _tell(self, name: str, sentence: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self._warn(sentence)
