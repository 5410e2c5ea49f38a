"""``reinforce.compare``: compares configurations over their seeds, as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import pandas as pd

from reinforce.arguments import AnyPath, checked, checked_argument
from reinforce.cluster.analysis.comparison import (
    Group,
    RunHistory,
    group_of,
    group_runs,
    history_of,
)
from reinforce.cluster.analysis.seed_statistics import STATISTICS, Statistic
from reinforce.cluster.errors import UsageError
from reinforce.runs import Run


class Comparison:
    """Groups of runs that differ only in their seeds.

    Attributes:
        scores: One row per group: its name, the number of its runs, the statistic of the mean
            returns of their last weights on fresh episodes, and a 95 % bootstrap interval.
    """

    def __init__(self, groups: Sequence[Group], statistic: Statistic) -> None:
        self._groups, self._statistic = groups, statistic
        rows = []
        for group in groups:
            score, low, high = group.summary(statistic) or (np.nan,) * 3
            rows.append((group.label, len(group.runs), score, low, high))
        self.scores = pd.DataFrame(rows, columns=["group", "runs", "score", "low", "high"])

    def curves(self) -> pd.DataFrame:
        """Return the learning curves: group, steps, value, low and high, for plotting."""
        tables = [
            pd.DataFrame({"group": group.label, **vars(curve)}).rename(columns={"values": "value"})
            for group in self._groups
            if (curve := group.curve(self._statistic))
        ]
        empty = pd.DataFrame(columns=["group", "steps", "value", "low", "high"])
        return pd.concat(tables, ignore_index=True) if tables else empty

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
    if isinstance(runs, Mapping):
        groups = [
            group_of(name, _histories(checked_argument(name, members, Runs)))
            for name, members in runs.items()
        ]
    else:
        groups = group_runs(_histories(runs))
    return Comparison(groups, STATISTICS[statistic][1])


def _histories(runs: Runs) -> list[RunHistory]:
    members = [checked_argument("a run", run, Member) for run in runs]
    if not members:
        raise UsageError("there are no runs to compare")
    return [history_of(run.path if isinstance(run, Run) else Path(run)) for run in members]
