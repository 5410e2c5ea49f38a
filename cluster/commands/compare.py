"""``reinforce compare``: configurations side by side, over their seeds."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from reinforce.cluster.analysis.comparison import (
    TRAINING_RETURN,
    Group,
    RunHistory,
    XAxis,
    group_runs,
    histories_of_runs,
    not_counted_in_words,
)
from reinforce.cluster.analysis.comparison_plot import (
    PictureOptions,
    draw_comparison,
    missing_curves,
    panels_of,
    require_picture,
    write_data,
)
from reinforce.cluster.analysis.seed_statistics import (
    STATISTICS,
    Statistic,
    statistic_in_words,
)
from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.number_format import number
from reinforce.cluster.tracking.shown_metrics import journal_name
from reinforce.configs.plurals import counted


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
        plot: Draw learning curves into this file (.png, .svg or .pdf): the statistic over seeds,
            with a 95 % bootstrap interval, or each seed where there are fewer than five.
        metric: What the curves show, by its name in metrics.jsonl or MLflow, such as
            evaluation/return_mean.
        x_axis: The x-axis: environment steps, training time or updates.
        profile: Draw performance profiles beside them: which share of runs ends above a score.
        labels: Names of the configurations in the picture, in the order of the table.
        title: Title of the picture; '' for none. None: a description of its lines and bands.
        size: Width and height of the picture in inches.
        data: Write what the picture shows into this file (.csv); with or without --plot.
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
    metric: str = TRAINING_RETURN
    x_axis: XAxis = "steps"
    profile: Flag = False
    labels: tuple[str, ...] = ()
    title: str | None = None
    size: tuple[float, float] | None = None
    data: Path | None = None
    json: Flag = False

    def execute(self) -> int:
        require_picture(self.plot, self.size, ("--plot", "--size"))
        if self.data and self.data.suffix.lower() != ".csv":
            raise UsageError(f"--data {str(self.data)!r} must end in .csv")
        console = PlainConsole()
        groups = group_runs(self._histories())
        statistic = STATISTICS[self.statistic][1]
        name = statistic_in_words(self.statistic, (len(group.scores) for group in groups))
        rows = [_row(group, statistic) for group in groups]
        self._draw(groups)  # before anything is printed: it may be refused
        if self.json:
            console.say_data(json.dumps(rows))
            return 0
        _print(console, rows, name)
        for path in filter(None, (self.plot, self.data)):
            console.say(f"{'drawn' if path is self.plot else 'written'} in {path}")
        return 0

    def _draw(self, groups: Sequence[Group]) -> None:
        if not (self.plot or self.data):
            self._require_no_picture()
            return
        options = PictureOptions(
            statistic=self.statistic,
            metric=journal_name(self.metric),
            x_axis=self.x_axis,
            profile=self.profile,
            title=self.title,
            size=self.size,
        )
        groups = self._named(groups)
        panels = panels_of(groups, options)
        for sentence in missing_curves(groups, panels, options.metric):
            PlainConsole(stderr=True).warn(sentence)
        if self.data:
            write_data(panels, self.data)
        if self.plot:
            draw_comparison(panels, options, self.plot)

    def _require_no_picture(self) -> None:
        of_pictures = ("metric", "x_axis", "profile", "labels", "title", "size")
        defaults = {each.name: each.default for each in fields(self)}
        for name in of_pictures:
            if getattr(self, name) != defaults[name]:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for the curves: add --plot FILE.png or --data "
                    "FILE.csv; the table compares the final evaluations"
                )

    def _named(self, groups: Sequence[Group]) -> list[Group]:
        if self.labels and len(self.labels) != len(groups):
            raise UsageError(
                f"--labels names {counted(len(self.labels), 'configuration')}, and there are "
                f"{len(groups)}: " + ", ".join(group.label for group in groups)
            )
        labels = self.labels or [group.label for group in groups]
        return [replace(group, label=name) for group, name in zip(groups, labels, strict=True)]

    def _histories(self) -> list[RunHistory]:
        if bool(self.runs) == (self.experiment is not None):
            raise UsageError("name run directories, or an experiment of MLflow by --experiment")
        if self.experiment is None:
            warn = PlainConsole(stderr=True).warn
            return histories_of_runs(self.runs, journal_name(self.metric), self.x_axis, warn)
        if self.x_axis != "steps":
            raise UsageError(f"--x-axis {self.x_axis} needs run directories: MLflow has steps only")
        from reinforce.cluster.tracking.store import TrackingStore, histories_of
        from reinforce.configs.execution import TrackingConfig

        store = TrackingStore.of(TrackingConfig(uri=self.uri), Path.cwd())
        return histories_of(store, self.experiment, journal_name(self.metric))


def _row(group: Group, statistic: Statistic) -> dict[str, Any]:
    """Return what is said of a group; None stands where there is nothing to say."""
    value, low, high = group.summary(statistic) or (None, math.nan, math.nan)
    return {
        "configuration": group.label,
        "settings": group.runs[0].experiment,
        "runs": [run.name for run in group.runs],
        "copies": [run.name for run in group.copies],
        "scores": group.scores.tolist(),
        "value": value,
        "ci95": None if math.isnan(low) else (low, high),
        "steps": group.steps,
    }


def _print(console: PlainConsole, rows: Sequence[dict[str, Any]], name: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for title in ("runs", "finished", f"{name} return", "95 % interval", "steps"):
        table.add_column(title, justify="right")
    for row in rows:
        ends = row["ci95"] or ()
        value = "-" if row["value"] is None else number(row["value"], *ends)
        interval = " to ".join(number(end, row["value"], *ends) for end in ends) or "-"
        counts = (str(len(row["runs"])), str(len(row["scores"])))
        steps = " to ".join(dict.fromkeys(f"{end:,}" for end in row["steps"]))
        table.add_row(console.cell(row["configuration"]), *counts, value, interval, steps)
    console.print_table(table)
    if remark := not_counted_in_words(copy for row in rows for copy in row["copies"]):
        console.warn(remark)
