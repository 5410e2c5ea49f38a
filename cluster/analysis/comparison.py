"""Runs, from wherever they are kept, and what those of one configuration say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.analysis.seed_statistics import Statistic, bootstrap_interval
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import PRETRAINED, read_summary
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config
from reinforce.configs.roles import decides_the_result, flat

CURVES = ("evaluation/return_mean", "rollout/return_mean")
"""What may be drawn against environment steps; the first that every run has is."""

SCORE = "evaluation/confirmed_return_mean"
"""What is compared: the mean return of the last weights, on seeds of their own."""

_RESAMPLES, _CURVE_RESAMPLES, _CURVE_POINTS = 10_000, 1_000, 100

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
        return {
            name: self.settings.get(name, value)
            for name, value in settings_of(Config()).items()
            if decides_the_result(name)
        }


def settings_of(config: Config) -> dict[str, str]:
    """Return every setting as ``section.field``, in words."""
    return {name: str(value) for name, value in flat(config.model_dump(mode="json")).items()}


def history_of(path: Path) -> RunHistory:
    """Return what a run directory holds.

    Raises:
        UsageError: It is none, or nothing was played in it yet.
    """
    run = RunDirectory.open(path)
    metrics: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CURVES, SCORE)}
    for entry in read_entries(run.journal_file):
        for name in metrics.keys() & entry.metrics.keys():
            metrics[name].append((entry.environment_steps, entry.metrics[name]))
    if not any(metrics.values()):
        summary = read_summary(run.summary_file) or {}
        if summary.get("stop_reason") == PRETRAINED:
            raise UsageError(
                f"{path} is a pretrained run, which has played no episodes whose returns could be "
                "compared: `reinforce evaluate` plays some, and a run that starts from it can be "
                "compared"
            )
        raise UsageError(f"{run.journal_file} holds no update yet: there is nothing to compare")
    return RunHistory(run.name, settings_of(load_config(str(run.config_file))), metrics)


@dataclass(frozen=True, eq=False)
class Curve:
    """A statistic over runs against environment steps; all arrays are [n]."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one configuration that differ in their seeds.

    Attributes:
        label: The settings in which it differs from the other groups.
        runs: At least one.
        copies: Further runs of their seeds: the same numbers, which would only look like evidence.
    """

    label: str
    runs: Sequence[RunHistory]
    copies: Sequence[RunHistory] = ()

    @property
    def scores(self) -> NDArray[np.float64]:
        """[R] the scores of those runs that came to their end."""
        return np.array([run.score for run in self.runs if run.score is not None])

    def summary(self, statistic: Statistic) -> tuple[float, float, float] | None:
        """Return (value, low, high) of the scores; None if no run has one."""
        if len(self.scores) == 0:
            return None
        low, high = bootstrap_interval(self.scores, statistic, _RESAMPLES)
        return float(statistic(self.scores, axis=0)), float(low), float(high)

    def curve(self, statistic: Statistic) -> Curve | None:
        """Return the return against steps, or None if the runs have no metric in common.

        Each run is interpolated linearly, up to where the shortest of them ended: beyond it the
        statistic would be one over fewer runs, those that happened to go on.
        """
        common = [name for name in CURVES if all(len(run.metrics[name]) > 1 for run in self.runs)]
        if not common:
            return None
        curves = [np.array(run.metrics[common[0]], np.float64).T for run in self.runs]
        first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
        steps = np.linspace(first, max(first, last), _CURVE_POINTS)
        values = np.stack([np.interp(steps, x, y) for x, y in curves])
        low, high = bootstrap_interval(values, statistic, _CURVE_RESAMPLES)
        return Curve(steps, statistic(values, axis=0), low, high)


def group_runs(runs: Sequence[RunHistory]) -> list[Group]:
    """Return the runs by configuration, in the order of the first run of each."""
    members: dict[tuple[tuple[str, str], ...], list[RunHistory]] = {}
    for run in runs:
        members.setdefault(tuple(sorted(run.experiment.items())), []).append(run)
    settings = [dict(key) for key in members]
    differing = sorted(
        key
        for key in {key for each in settings for key in each}
        if len({each.get(key) for each in settings}) > 1
    )
    groups = []
    for each, found in zip(settings, members.values(), strict=True):
        label = ", ".join(f"{key} {each.get(key, '-')}" for key in differing)
        groups.append(group_of(label or each.get("environment.id", "all runs"), found))
    return groups


def group_of(label: str, members: Sequence[RunHistory]) -> Group:
    """Return a group in which each seed counts once, by a run that came to its end if one did.

    The same seed after a start from other weights is not the same.
    """
    of_seed: dict[tuple[str | None, str], RunHistory] = {}
    for run in sorted(members, key=lambda run: run.score is None):
        start = run.settings.get("run.start_from_sha256")
        of_seed.setdefault((start, run.settings.get("run.seed", run.name)), run)
    runs = [run for run in members if run in of_seed.values()]
    return Group(label, runs, [run for run in members if run not in runs])
