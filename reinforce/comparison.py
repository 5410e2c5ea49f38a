"""``reinforce.compare``: compares configurations over their seeds, as tables."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from reinforce.arguments import AnyPath, checked, checked_argument
from reinforce.cluster.analysis.comparison import (
    TRAINING_RETURN,
    Group,
    RunHistory,
    XAxis,
    group_of,
    group_runs,
    histories_of_runs,
    not_counted_in_words,
)
from reinforce.cluster.analysis.comparison_plot import (
    PictureOptions,
    draw_comparison,
    draw_curves,
    missing_curves,
    panels_of,
    require_picture,
    rows_of,
)
from reinforce.cluster.analysis.seed_statistics import STATISTICS
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.tracking.shown_metrics import journal_name
from reinforce.configs.quoting import shown
from reinforce.runs import Run

_OF_SCORES = ["group", "runs", "score", "low", "high", "steps_min", "steps_max"]
_OF_RUNS = ["group", "run", "seed", "score", "steps"]

PictureTarget: TypeAlias = Annotated[Any, "a path, or axes of Matplotlib"]


class Comparison:
    """Groups of runs that differ only in their seeds.

    Attributes:
        scores: One row per group: its name (``group``), the number of its ``runs``, as ``score``
            the statistic of the mean returns of their last weights on fresh episodes, ``low`` and
            ``high`` of a 95 % bootstrap interval, and ``steps_min`` and ``steps_max``, the fewest
            and the most environment steps of a run: a limit does not cut the last batch.
        runs: One row per run: its ``group``, ``run`` (its name, or its path if another has the same
            name), ``seed``, ``score`` (NaN if it did not finish) and ``steps``.
        not_counted: Names of runs that repeat the seed of another in their group, and so would only
            look like evidence.
    """

    def __init__(self, groups_of: Callable[[str, XAxis], Sequence[Group]], statistic: str) -> None:
        """Read the groups, with a metric against an x-axis, from run directories."""
        self._groups_of, self._name = groups_of, statistic
        self._groups = groups_of(TRAINING_RETURN, "steps")
        self._statistic = STATISTICS[statistic][1]
        self.not_counted = [run.name for group in self._groups for run in group.copies]
        if remark := not_counted_in_words(self.not_counted):
            PlainConsole(stderr=True).warn(remark)
        rows = []
        for group in self._groups:
            score, low, high = group.summary(self._statistic) or (np.nan,) * 3
            rows.append((group.label, len(group.runs), score, low, high, *group.steps))
        self.scores = pd.DataFrame(rows, columns=_OF_SCORES)
        self.runs = pd.DataFrame(
            [
                (group.label, run.name, int(run.settings["run.seed"]), run.score, run.num_steps)
                for group in self._groups
                for run in group.runs
            ],
            columns=_OF_RUNS,
        ).astype({"score": float})

    @checked
    def curves(
        self,
        *,
        metric: str = TRAINING_RETURN,
        x_axis: Literal["steps", "time", "updates"] = "steps",
    ) -> pd.DataFrame:
        """Return learning curves as numbers: those that ``plot`` draws, for a picture of your own.

        A group has 100 points, evenly spaced from where all its runs have begun to the end of the
        shortest. Each run is interpolated linearly between its batches, or its evaluations.

        Args:
            metric: What the curves show, by its name in metrics.jsonl or MLflow: the mean return of
                a batch, or for example evaluation/return_mean.
            x_axis: The x-axis: environment steps, training time (s) or updates.

        Returns:
            The rows of `reinforce compare --data`: group, run, ``steps``, ``time`` or ``updates``
            as x_axis says, and value. Where run is "", value is the statistic over runs, and low
            and high are its 95 % bootstrap interval, NaN below five runs; the other rows are single
            runs. Groups in which a run has the metric less than twice are left out.

        Raises:
            UsageError: No group is left.
        """
        metric = journal_name(metric)
        options = PictureOptions(statistic=self._name, metric=metric, x_axis=x_axis)
        lines = panels_of(self._groups_with(metric, x_axis), options)["curve"]
        rows = [(line.group, *row) for line in lines for row in rows_of(line)]
        columns = ["group", "run", x_axis, "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})

    def _groups_with(self, metric: str, x_axis: XAxis) -> Sequence[Group]:
        is_read = (metric, x_axis) == (TRAINING_RETURN, "steps")
        return self._groups if is_read else self._groups_of(metric, x_axis)

    @checked
    def plot(
        self,
        target: PictureTarget,
        *,
        metric: str = TRAINING_RETURN,
        x_axis: Literal["steps", "time", "updates"] = "steps",
        profile: bool = False,
        title: str | Literal[""] | None = None,
        size: Sequence[float] | None = None,
    ) -> Any:
        """Draw learning curves as ``reinforce compare --plot`` does, and return the target.

        They show the statistic over seeds, with a 95 % bootstrap interval, or each seed where there
        are fewer than five.

        Args:
            target: A file (.png, .svg or .pdf), or axes of a figure of your own.
            metric: What the curves show, by its name in metrics.jsonl or MLflow.
            x_axis: The x-axis: environment steps, training time (s) or updates.
            profile: Draw performance profiles beside them, in a file: which share of runs ends
                above a score.
            title: The title; "" for none. None: a description of lines and bands, in a file; your
                own axes get none.
            size: Width and height of a file's picture in inches, up to 100.

        Raises:
            UsageError: No run has the metric, or the file cannot be written.
        """
        if size is not None and len(size) != 2:
            raise UsageError(f"size = {shown(size)}: give width and height in inches")
        inches = None if size is None else (size[0], size[1])
        metric = journal_name(metric)
        options = PictureOptions(
            statistic=self._name,
            metric=metric,
            x_axis=x_axis,
            profile=profile,
            title=title,
            size=inches,
        )
        is_file = isinstance(target, str | Path)
        if is_file:
            require_picture(Path(target), inches, ("target =", "size ="))
        elif not hasattr(target, "set_xlabel"):
            raise UsageError(f"target = {shown(target)}: give a path, or axes of Matplotlib")
        elif profile or size:
            raise UsageError("profile and size are for files: axes have their own figure")
        groups = self._groups_with(metric, x_axis)
        panels = panels_of(groups, options)
        for sentence in missing_curves(groups, panels, metric):
            PlainConsole(stderr=True).warn(sentence)
        if not is_file:
            draw_curves(target, panels["curve"], options)
            return target
        draw_comparison(panels, options, Path(target), "target =")
        return Path(target)

    def __repr__(self) -> str:
        return str(self.scores)

    def _repr_html_(self) -> str:
        return str(self.scores._repr_html_())


Member: TypeAlias = Annotated[Run | AnyPath, "a Run or a path"]
Runs: TypeAlias = Annotated[Sequence[Member], "a list of runs"]


@checked
def compare(
    runs: Runs | Mapping[str, Runs], *, statistic: Literal["iqm", "mean"] = "iqm"
) -> Comparison:
    """Compare configurations over their seeds (Agarwal et al. 2021, arXiv:2108.13264).

    Args:
        runs: Runs or run directories; those that differ only in seed, name, place or speed form a
            group, and each seed counts once. The initial weights of a run are part of its
            configuration. Or a mapping of names to such lists, which defines the groups: for warm
            starts from runs of several seeds, for example.
        statistic: ``iqm``: mean of the middle half of the runs. ``mean``: of all.

    Raises:
        UsageError: One is not a run directory, or has no update yet; or there is no such statistic.
    """
    return Comparison(partial(_groups_of, runs), statistic)


def _groups_of(runs: Runs | Mapping[str, Runs], metric: str, x_axis: XAxis) -> list[Group]:
    if not isinstance(runs, Mapping):
        return group_runs(_histories(runs, metric, x_axis))
    return [
        group_of(name, _histories(checked_argument(name, members, Runs), metric, x_axis))
        for name, members in runs.items()
    ]


def _histories(runs: Runs, metric: str, x_axis: XAxis) -> list[RunHistory]:
    members = [checked_argument("a run", run, Member) for run in runs]
    if not members:
        raise UsageError("there are no runs to compare")
    paths = [run.path if isinstance(run, Run) else Path(run) for run in members]
    return histories_of_runs(paths, metric, x_axis, PlainConsole(stderr=True).warn)
