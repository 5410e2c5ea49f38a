"""Runs from run directories or MLflow, grouped by configuration."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.analysis.seed_statistics import Statistic, bootstrap_interval
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import PRETRAINED, read_summary
from reinforce.cluster.run_store.trial_limit import with_own_limit
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config
from reinforce.configs.plurals import counted
from reinforce.configs.roles import decides_the_result, flat

TRAINING_RETURN = "rollout/return_mean"

CURVES = ("evaluation/return_mean", TRAINING_RETURN)
"""Metrics for curves against environment steps; the first that every run has is drawn."""

XAxis = Literal["steps", "time", "updates"]
"""Choices for the x-axis of a curve."""

_X_FIELDS: Mapping[XAxis, str] = {
    "steps": "environment_steps",
    "time": "training_time_s",
    "updates": "updates",
}
"""The field of a journal entry for each x-axis."""

SCORE = "evaluation/confirmed_return_mean"
"""The metric compared: the mean return of the last weights, on seeds reserved for it."""

_LONG = re.compile(r"-?\d+\.\d{5,}(?:e-?\d+)?")

_MOST_NAMED = 4
"""Settings in the name of a configuration, unless it takes more to tell all of them apart."""

_RESAMPLES, _CURVE_RESAMPLES, _CURVE_POINTS = 10_000, 1_000, 100

Points = Sequence[tuple[float, float]]
"""(environment steps or another x, value) in order of training."""


class _NothingToCompareError(UsageError):
    """A run that has played nothing yet."""


@dataclass(frozen=True, eq=False)
class RunHistory:
    """One run.

    Attributes:
        name: For messages.
        settings: Every setting as ``section.key``, in words.
        metrics: By metric, (x, value) in order of training; x is environment steps unless requested
            otherwise.
        recorded: Names in the journal of all metrics that it has.
        num_steps: Environment steps of its training, evaluations excluded.
        place: The path of its directory, or its id in MLflow.
    """

    name: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Points]
    recorded: frozenset[str] = frozenset()
    num_steps: int = 0
    place: str = ""

    @property
    def score(self) -> float | None:
        """The last confirmed mean return, or None if the run did not finish."""
        points = self.metrics.get(SCORE)
        return points[-1][1] if points else None

    @property
    def experiment(self) -> dict[str, str]:
        """The settings that decide what is learned: all except seed, names, places and speed."""
        # Runs of an older version lack newer settings, which then had no other effect.
        return {
            name: self.settings.get(name, value)
            for name, value in settings_of(Config()).items()
            if decides_the_result(name)
        }


def settings_of(config: Config) -> dict[str, str]:
    """Return every setting as ``section.field``, in words."""
    return {name: str(value) for name, value in flat(config.model_dump(mode="json")).items()}


def histories_of_runs(
    paths: Iterable[Path], metric: str, x_axis: XAxis, warn: Callable[[str], None]
) -> list[RunHistory]:
    """Return the histories of run directories, without those that have played nothing yet.

    Args:
        paths: The run directories, at least one.
        metric: An additional metric to read from the journals.
        x_axis: What the metrics stand against.
        warn: Called with a sentence for each run that is left out.

    Raises:
        UsageError: As ``history_of``; or no run has played anything.
    """
    histories: list[RunHistory] = []
    left_out: list[_NothingToCompareError] = []
    for path in paths:
        try:
            histories.append(history_of(path, metric, x_axis))
        except _NothingToCompareError as error:
            left_out.append(error)
    if not histories:
        raise left_out[0]
    for fault in left_out:
        warn(f"left out: {fault}")
    return told_apart(histories)


def told_apart(histories: Sequence[RunHistory]) -> list[RunHistory]:
    """Return the histories; those that share a name are called by their places instead."""
    uses = Counter(run.name for run in histories)
    return [replace(run, name=run.place) if uses[run.name] > 1 else run for run in histories]


def history_of(path: Path, metric: str = TRAINING_RETURN, x_axis: XAxis = "steps") -> RunHistory:
    """Read a run from its directory.

    Args:
        path: Of the directory.
        metric: An additional metric to read from the journal.
        x_axis: The x-axis of the values.

    Raises:
        UsageError: It is not a run directory, or the run has played nothing yet.
    """
    run = RunDirectory.open(path)
    metrics: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CURVES, SCORE, metric)}
    recorded: set[str] = set()
    num_steps = 0
    for entry in read_entries(run.journal_file):
        recorded |= entry.metrics.keys()
        num_steps = entry.environment_steps
        for name in metrics.keys() & entry.metrics.keys():
            metrics[name].append((getattr(entry, _X_FIELDS[x_axis]), entry.metrics[name]))
    summary = read_summary(run.summary_file) or {}
    if not any(metrics.values()):
        if summary.get("stop_reason") == PRETRAINED:
            raise _NothingToCompareError(
                f"{path} is a pretrained run, which has no episodes to compare: `reinforce "
                "evaluate` plays some, and a run that starts from it can be compared"
            )
        raise _NothingToCompareError(
            f"{run.journal_file} has no update yet: there is nothing to compare"
        )
    if summary.get("status") != "finished":
        metrics[SCORE] = []  # of a target that was not confirmed
    config = with_own_limit(run, load_config(str(run.config_file)))
    settings = settings_of(config)
    return RunHistory(run.name, settings, metrics, frozenset(recorded), num_steps, str(path))


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
        copies: Further runs of the same seeds, which would only look like evidence.
    """

    label: str
    runs: Sequence[RunHistory]
    copies: Sequence[RunHistory] = ()

    @property
    def scores(self) -> NDArray[np.float64]:
        """[R] the scores of the runs that finished."""
        return np.array([run.score for run in self.runs if run.score is not None])

    @property
    def steps(self) -> tuple[int, int]:
        """The fewest and the most environment steps of a run."""
        each = [run.num_steps for run in self.runs]
        return min(each), max(each)

    def summary(self, statistic: Statistic) -> tuple[float, float, float] | None:
        """Return (value, low, high) of the scores, or None without scores."""
        if len(self.scores) == 0:
            return None
        low, high = bootstrap_interval(self.scores, statistic, _RESAMPLES)
        return float(statistic(self.scores, axis=0)), float(low), float(high)

    def curve(self, statistic: Statistic, metrics: Sequence[str] = CURVES) -> Curve | None:
        """Return the first metric that all runs have, against steps, or None."""
        found = self.seeds(metrics)
        if found is None:
            return None
        steps, values = found
        low, high = bootstrap_interval(values, statistic, _CURVE_RESAMPLES)
        return Curve(steps, statistic(values, axis=0), low, high)

    def seeds(
        self, metrics: Sequence[str] = CURVES
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return [n] steps and [R, n] the first of the metrics that all runs have; or None.

        Each run is interpolated linearly up to the end of the shortest: beyond it, a statistic
        would cover only the longer runs.
        """
        common = [n for n in metrics if all(len(run.metrics.get(n, ())) > 1 for run in self.runs)]
        if not common:
            return None
        curves = [np.array(run.metrics[common[0]], np.float64).T for run in self.runs]
        first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
        steps = np.linspace(first, max(first, last), _CURVE_POINTS)
        return steps, np.stack([np.interp(steps, x, y) for x, y in curves])


def group_runs(runs: Sequence[RunHistory]) -> list[Group]:
    """Return the runs by configuration, in order of each one's first run."""
    members: dict[tuple[tuple[str, str], ...], list[RunHistory]] = {}
    for run in runs:
        members.setdefault(tuple(sorted(run.experiment.items())), []).append(run)
    labels = _labels([dict(key) for key in members])
    return [group_of(*each) for each in zip(labels, members.values(), strict=True)]


def not_counted_in_words(copies: Iterable[str]) -> str:
    """Return a sentence about runs that repeat a seed; "" if there are none."""
    names = ", ".join(copies)
    return f"not counted, since another run has the same seed: {names}" if names else ""


def _labels(configurations: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what tells each configuration from the others: of its environment, if they differ.

    Of many settings a few are named, if need be more, so that no two are called the same.
    """
    by_environment: dict[str, list[Mapping[str, str]]] = {}
    for each in configurations:
        by_environment.setdefault(each["environment.id"], []).append(each)
    labels = []
    for each in configurations:
        environment = each["environment.id"]
        siblings = by_environment[environment]
        named, num_others = _telling_apart(siblings)
        words = [f"{name} {_rounded(each[name], {x[name] for x in siblings})}" for name in named]
        if num_others:
            words.append(counted(num_others, "other setting"))
        if len(by_environment) > 1 or not words:
            words.insert(0, environment)
        labels.append(", ".join(words))
    return labels


def _rounded(value: str, values: Collection[str]) -> str:
    """Return a number with four digits, as a sweep shows it, if that tells all values apart."""
    short = {each: f"{float(each):.4g}" if _LONG.fullmatch(each) else each for each in values}
    return short[value] if len(set(short.values())) == len(short) else value


def _telling_apart(configurations: Sequence[Mapping[str, str]]) -> tuple[list[str], int]:
    """Return settings that tell configurations apart, and the number of others that differ."""
    num_values = {name: len({each[name] for each in configurations}) for name in configurations[0]}
    digest = "run.start_from_sha256"  # long, and says nothing to a reader whom the place tells more
    if num_values.get(digest, 0) <= num_values.get("run.start_from", 0):
        num_values.pop(digest, None)
    differing = [name for name, number in num_values.items() if number > 1]
    differing.sort(key=lambda name: (-num_values[name], name))
    named = differing[:_MOST_NAMED]
    while len({tuple(each[name] for name in named) for each in configurations}) < len(
        configurations
    ):
        named = differing[: len(named) + 1]
    return sorted(named), len(differing) - len(named)


def group_of(label: str, members: Sequence[RunHistory]) -> Group:
    """Return a group in which each seed counts once, preferably with a finished run.

    The same seed with other initial weights counts as different.
    """
    of_seed: dict[tuple[str | None, str], RunHistory] = {}
    for run in sorted(members, key=lambda run: run.score is None):
        start = run.settings.get("run.start_from_sha256")
        of_seed.setdefault((start, run.settings.get("run.seed", run.name)), run)
    runs = [run for run in members if run in of_seed.values()]
    return Group(label, runs, [run for run in members if run not in runs])
