"""``reinforce compare``: configurations side by side, over their seeds."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from reinforce.cluster.analysis.comparison import Group, RunHistory, group_runs, history_of
from reinforce.cluster.analysis.plots import plot_comparison
from reinforce.cluster.analysis.seed_statistics import STATISTICS, Statistic
from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError


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

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN_DIR ...", help_behavior_hint=""),
    ] = ()
    experiment: str | None = None
    uri: str | None = None
    statistic: Literal["iqm", "mean"] = "iqm"
    plot: Path | None = None
    json: Flag = False

    def execute(self) -> int:
        if self.plot and self.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise UsageError(f"--plot {str(self.plot)!r} must end in .png, .svg or .pdf")
        console = PlainConsole()
        groups = group_runs(self._histories())
        name, statistic = STATISTICS[self.statistic]
        rows = [_row(group, statistic) for group in groups]
        if self.json:
            console.say_data(json.dumps(rows))
        else:
            _print(console, rows, name)
        if self.plot:
            plot_comparison(groups, statistic, self.plot, name)
            console.say(f"drawn in {self.plot}")
        return 0

    def _histories(self) -> list[RunHistory]:
        if bool(self.runs) == (self.experiment is not None):
            raise UsageError("name run directories, or an experiment of MLflow by --experiment")
        if self.experiment is None:
            return [history_of(path) for path in self.runs]
        from reinforce.cluster.tracking.store import TrackingStore, histories_of
        from reinforce.configs.execution import TrackingConfig

        store = TrackingStore.of(TrackingConfig(uri=self.uri), Path.cwd())
        return histories_of(store, self.experiment)


def _row(group: Group, statistic: Statistic) -> dict[str, Any]:
    """Return what is said of a group; None stands where there is nothing to say."""
    value, low, high = group.summary(statistic) or (None, math.nan, math.nan)
    return {
        "configuration": group.label,
        "runs": [run.name for run in group.runs],
        "copies": [run.name for run in group.copies],
        "scores": group.scores.tolist(),
        "value": value,
        "ci95": None if math.isnan(low) else (low, high),
    }


def _print(console: PlainConsole, rows: Sequence[dict[str, Any]], name: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for title in ("runs", "finished", name, "95 % interval"):
        table.add_column(title, justify="right")
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.1f}"
        interval = "{:.1f} to {:.1f}".format(*row["ci95"]) if row["ci95"] else "-"
        counts = (str(len(row["runs"])), str(len(row["scores"])))
        table.add_row(console.cell(row["configuration"]), *counts, value, interval)
    console.print(table)
    copies = ", ".join(copy for row in rows for copy in row["copies"])
    if copies:
        console.say(f"not counted, since another run has the same seed: {copies}", "yellow")
