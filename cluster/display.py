"""What one sees while a run runs: a live panel in a terminal, plain lines anywhere else."""

import time
from contextlib import suppress
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.configs.config import Config

_PLAIN_INTERVAL_S = 2.0


class PlainDisplay:
    """One line per evaluation, and one per update but not more than one in two seconds."""

    def __init__(self, console: PlainConsole) -> None:
        self._console = console
        self._shown_at_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, entry: JournalEntry) -> None:
        """Print a line, if it is time."""
        metrics, head = entry.metrics, f"update {entry.updates:>5}"
        ways = {"evaluation": "", "sampled": "sampled_", "on other seeds": "confirmed_"}
        for name, prefix in ways.items():
            if f"evaluation/{prefix}return_mean" in metrics:
                mean, low, high = (
                    metrics[f"evaluation/{prefix}return_{which}"]
                    for which in ("mean", "ci_low", "ci_high")
                )
                interval = f"(95 % interval {low:.1f} to {high:.1f})"
                self._print(f"{head}  {name}: mean return {mean:.1f} {interval}")
        if entry.batch and time.monotonic() - self._shown_at_s >= _PLAIN_INTERVAL_S:
            self._shown_at_s = time.monotonic()
            self._print(
                f"{head}  steps {entry.environment_steps:,}  "
                f"return {metrics['rollout/return_mean']:.1f}  "
                f"{metrics['time/environment_steps_per_s']:,.0f} steps/s  "
                f"workers {metrics['cluster/workers_alive']:.0f}"
            )

    def warn(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def _print(self, line: str) -> None:
        with suppress(OSError, UnicodeError):  # the run is worth more than its display
            self._console.say(line)


class LiveDisplay:
    """A panel that is redrawn in place."""

    def __init__(self, console: PlainConsole, config: Config, run_name: str) -> None:
        self._console, self._config = console, config
        self._run_name = run_name
        self._update: JournalEntry | None = None
        self._evaluation: JournalEntry | None = None
        self._seconds = {"sampling": 0.0, "learning": 0.0, "evaluating": 0.0}
        self._live = Live(
            console=console, get_renderable=self._panel, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, entry: JournalEntry) -> None:
        """Take note; the panel redraws itself."""
        metrics = entry.metrics
        if "evaluation/return_mean" in metrics:
            self._evaluation = entry
            self._seconds["evaluating"] += metrics["time/evaluation_s"]
        if entry.batch:
            self._update = entry
            self._seconds["sampling"] += metrics["time/sampling_s"]
            self._seconds["learning"] += metrics["time/learning_s"]

    def warn(self, text: str) -> None:
        """Print it above the panel."""
        self._console.say(text, "yellow")

    def _panel(self) -> Panel:
        if self._update is None:
            return Panel(Text("waiting for the first batch"), title=self._run_name)
        entry, metrics = self._update, self._update.metrics
        table = Table.grid(padding=(0, 2))
        table.add_row("update", f"{entry.updates:,}", "steps", f"{entry.environment_steps:,}")
        table.add_row(
            "return",
            f"{metrics['rollout/return_mean']:.1f}",
            "range",
            f"{metrics['rollout/return_min']:.1f} to {metrics['rollout/return_max']:.1f}",
        )
        table.add_row("evaluated", self._evaluated(), "target", self._target())
        table.add_row(
            "steps/s",
            f"{metrics['time/environment_steps_per_s']:,.0f}",
            "time",
            self._where_the_time_goes(),
        )
        table.add_row(
            "workers",
            f"{metrics['cluster/workers_alive']:.0f} "
            f"({metrics['cluster/worker_restarts']:.0f} replaced)",
            "tickets",
            f"{metrics['tickets/completed']:.0f} played, "
            f"{metrics['tickets/reissued']:.0f} played again",
        )
        progress = Progress(
            entry.updates,
            entry.environment_steps,
            training_time_s=entry.training_time_s,
        )
        used = progress.fraction_used(self._config.stop)
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=1.0, completed=used, width=40),
            Text(f"{used:.0%} of the nearest limit in 'stop'", style="dim"),
        )
        return Panel(Group(table, bar), title=self._run_name)

    def _evaluated(self) -> str:
        if self._evaluation is None:
            return "not yet"
        return f"{self._evaluation.metrics['evaluation/return_mean']:.1f}"

    def _target(self) -> str:
        target = self._config.stop.target_return
        return "none" if target is None else f"{target:g}"

    def _where_the_time_goes(self) -> str:
        total = sum(self._seconds.values()) or 1.0
        return ", ".join(f"{name} {part / total:.0%}" for name, part in self._seconds.items())


def make_display(
    console: PlainConsole, config: Config, run_name: str
) -> LiveDisplay | PlainDisplay:
    """Return the display that suits the console."""
    if console.is_terminal:
        return LiveDisplay(console, config, run_name)
    return PlainDisplay(console)
