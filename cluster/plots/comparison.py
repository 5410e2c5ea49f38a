"""Runs grouped by what they did, and what the seeds of each group say together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.plots.seed_statistics import Statistic, bootstrap_interval
from cluster.records.run_history import CURVES, RunHistory

_RESAMPLES = 10_000
_CURVE_RESAMPLES = 1_000
_CURVE_POINTS = 100


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
        return float(statistic(self.scores)), float(low), float(high)

    def curve(self, statistic: Statistic) -> Curve | None:
        """Return the return against steps, or None if the runs have no metric in common.

        Each run is interpolated linearly, up to where the shortest of them ended: beyond it the
        statistic would be one over fewer runs, those that happened to go on.
        """
        common = [name for name in CURVES if all(len(run.metrics[name]) > 1 for run in self.runs)]
        if not common:
            return None
        curves = [run.curve(common[0]) for run in self.runs]
        first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
        steps = np.linspace(first, max(first, last), _CURVE_POINTS)
        values = np.stack([np.interp(steps, x, y) for x, y in curves])
        low, high = bootstrap_interval(values, statistic, _CURVE_RESAMPLES)
        return Curve(steps, statistic(values), low, high)


def group_runs(runs: Sequence[RunHistory]) -> list[Group]:
    """Return the runs by configuration, in the order of the first run of each."""
    members: dict[tuple[tuple[str, str], ...], list[RunHistory]] = {}
    for run in runs:
        members.setdefault(tuple(sorted(run.experiment.items())), []).append(run)
    values: dict[str, set[str | None]] = {}
    for key in {key for settings in members for key, _ in settings}:
        values[key] = {dict(settings).get(key) for settings in members}
    differing = sorted(key for key, found in values.items() if len(found) > 1)
    return [_group(_label(dict(key), differing), found) for key, found in members.items()]


def _group(label: str, members: Sequence[RunHistory]) -> Group:
    """Return a group in which each seed counts once, by a run that came to its end if one did."""
    of_seed: dict[str, RunHistory] = {}
    for run in sorted(members, key=lambda run: run.score is None):
        of_seed.setdefault(run.settings.get("run.seed", run.name), run)
    runs = [run for run in members if run in of_seed.values()]
    return Group(label, runs, [run for run in members if run not in of_seed.values()])


def _label(settings: dict[str, str], differing: Sequence[str]) -> str:
    if not differing:
        return settings.get("environment.id", "all runs")
    return ", ".join(f"{key} {settings.get(key, '-')}" for key in differing)
