"""``reinforce compare``: configurations side by side, over their seeds."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text

from reinforce.cluster.analysis.comparison import Group, RunHistory, group_runs, history_of
from reinforce.cluster.analysis.plots import plot_comparison
from reinforce.cluster.analysis.seed_statistics import Statistic, interquartile_mean, mean
from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError

_STATISTICS = {"iqm": ("interquartile mean", interquartile_mean), "mean": ("mean", mean)}


@dataclass(frozen=True, kw_only=True)
class CompareCommand(Command):
    """Compare configurations over their seeds, from run directories or from MLflow.

    Runs that differ only in seed, name, place or speed are one group. Compared are the mean returns
    of their last weights on fresh episodes; the 95 % intervals are bootstrapped over runs (Agarwal
    et al. 2021, arXiv:2108.13264).

    Attributes:
        runs: Run directories.
        experiment: Experiment of MLflow whose runs are compared, instead of run directories.
        uri: Store of the experiment. None: $MLFLOW_TRACKING_URI, or else mlflow.db in the current
            directory.
        statistic: iqm: mean of the middle half of the runs, robust and precise. mean: of all.
        plot: Draw returns against steps into this file (.png, .svg or .pdf).
        json: Print one line of JSON instead.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")] = ()
    experiment: str | None = None
    uri: str | None = None
    statistic: Literal["iqm", "mean"] = "iqm"
    plot: Path | None = None
    json: Flag = False

    def execute(self, started_s: float) -> int:
        """Group the runs, print what they say, and draw it on request.

        Raises:
            UsageError: There is nothing to compare.
        """
        console = PlainConsole()
        groups = group_runs(_histories(self))
        name, statistic = _STATISTICS[self.statistic]
        rows = [_row(group, statistic) for group in groups]
        if self.json:
            console.say(json.dumps([asdict(row) for row in rows]))
        else:
            _print(console, rows, name)
        if self.plot:
            plot_comparison(groups, statistic, self.plot, name)
            console.say(f"drawn in {self.plot}")
        return 0


def _histories(command: CompareCommand) -> list[RunHistory]:
    if bool(command.runs) == (command.experiment is not None):
        raise UsageError("name run directories, or an experiment of MLflow by --experiment")
    if command.experiment is None:
        return [history_of(path) for path in command.runs]
    from reinforce.cluster.tracking.store import TrackingStore, histories_of
    from reinforce.configs.execution import TrackingConfig

    store = TrackingStore.of(TrackingConfig(uri=command.uri), Path.cwd())
    return histories_of(store, command.experiment)


@dataclass(frozen=True)
class _Row:
    """What is said of a group; ``value`` and ``ci95`` are None where there is nothing to say."""

    configuration: str
    runs: list[str]
    copies: list[str]
    scores: list[float]
    value: float | None
    ci95: tuple[float, float] | None


def _row(group: Group, statistic: Statistic) -> _Row:
    value, low, high = group.summary(statistic) or (None, math.nan, math.nan)
    ci95 = None if math.isnan(low) else (low, high)
    names, copies = ([run.name for run in runs] for runs in (group.runs, group.copies))
    return _Row(group.label, names, copies, group.scores.tolist(), value, ci95)


def _print(console: PlainConsole, rows: Sequence[_Row], name: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for title in ("runs", "finished", name, "95 % interval"):
        table.add_column(title, justify="right")
    for row in rows:
        interval = f"{row.ci95[0]:.1f} to {row.ci95[1]:.1f}" if row.ci95 else "-"
        value = "-" if row.value is None else f"{row.value:.1f}"
        numbers = (str(len(row.runs)), str(len(row.scores)), value, interval)
        table.add_row(Text(row.configuration), *numbers)
    console.print(table)
    copies = [copy for row in rows for copy in row.copies]
    if copies:
        text = (
            f"not counted, for they are runs of a seed that is there already: {', '.join(copies)}"
        )
        console.say(text, "yellow")
