"""What a comparison needs of a run, from wherever it is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.errors import UsageError
from cluster.records.journal import read_records
from cluster.records.run_directory import RunDirectory
from configs.config import Config
from configs.loading import load_config

CURVES = ("evaluation/return_mean", "rollout/return_mean")
"""What may be drawn against environment steps; the first that every run has is."""

SCORE = "evaluation/confirmed_return_mean"
"""What is compared: the mean return of the last weights, on seeds of their own."""

_DECISIVE_SECTIONS = ("stop", "environment", "policy", "learner", "evaluation")
_DECISIVE_SETTINGS = ("workers.envs_per_worker", "workers.episodes_per_ticket", "cluster.lookahead")
_INDIFFERENT_SETTINGS = ("evaluation.video",)

Points = Sequence[tuple[float, float]]
"""(environment steps, value) in the order of training."""


@dataclass(frozen=True, eq=False)
class RunHistory:
    """One run.

    Attributes:
        name: For messages.
        settings: Every setting as ``section.key``, in words.
        metrics: By name of the metric, its (environment steps, value) in the order of training.
    """

    name: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Points]

    @property
    def score(self) -> float | None:
        """The last confirmed mean return, or None if the run did not come to its end."""
        points = self.metrics.get(SCORE)
        return points[-1][1] if points else None

    @property
    def experiment(self) -> dict[str, str]:
        """The settings that decide what is learned: all but the seed, names, places and speed."""
        # Runs of an older version lack newer settings, which then had no other effect.
        settings = {**settings_of(Config()), **self.settings}
        return {
            key: value
            for key, value in settings.items()
            if (key.partition(".")[0] in _DECISIVE_SECTIONS or key in _DECISIVE_SETTINGS)
            and key not in _INDIFFERENT_SETTINGS
        }

    def curve(self, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ([n] environment steps, [n] values)."""
        points = np.array(self.metrics[metric], np.float64).reshape(-1, 2)
        return points[:, 0], points[:, 1]


def settings_of(config: Config) -> dict[str, str]:
    """Return every setting as ``section.key``, in words."""
    return {
        f"{section}.{key}": str(value)
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
    }


def history_of(path: Path) -> RunHistory:
    """Return what a run directory holds.

    Raises:
        UsageError: It is none, or nothing was played in it yet.
    """
    run = RunDirectory.open(path)
    metrics: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CURVES, SCORE)}
    for record in read_records(run.journal_file):
        for name in metrics.keys() & record.metrics.keys():
            metrics[name].append((record.environment_steps, record.metrics[name]))
    if not any(metrics.values()):
        raise UsageError(f"{path} holds no update yet: there is nothing to compare")
    return RunHistory(run.name, settings_of(load_config(str(run.config_file))), metrics)
