"""What one sees while a run runs: a panel in a terminal or notebook, plain lines anywhere else."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import StringIO
from typing import Any, Self, TypeAlias

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.evaluation import mean_and_interval
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.configs.config import Config
from reinforce.configs.experiment import SUCCESS_METRICS

_PLAIN_INTERVAL_S = 2.0
_NOTEBOOK_INTERVAL_S = 1.0
_NOTEBOOK_WIDTH = 100
_EVALUATIONS = {"evaluation": "", "sampled": "sampled_", "on other seeds": "confirmed_"}
"""What a line calls an evaluation, and how its metrics begin."""


class PlainDisplay:
    """One line per evaluation, and one per update but not more than one in two seconds."""

    def __init__(self, console: PlainConsole, target_metric: str | None = None) -> None:
        self._console, self._target_metric = console, target_metric
        self._shown_at_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, entry: JournalEntry) -> None:
        """Print a line, if it is time."""
        metrics, head = entry.metrics, f"update {entry.updates:>5}"
        for name, prefix in _EVALUATIONS.items():
            names = [f"evaluation/{prefix}return_{part}" for part in ("mean", "ci_low", "ci_high")]
            if names[0] in metrics:
                result = mean_and_interval(*(metrics[name] for name in names))
                metric = _metric_of(metrics, f"evaluation/{prefix}", self._target_metric)
                self.warn(f"{head}  {name}: mean return {result}{metric}")
        if entry.batch and time.monotonic() - self._shown_at_s >= _PLAIN_INTERVAL_S:
            self._shown_at_s = time.monotonic()
            self.warn(
                f"{head}  steps {entry.environment_steps:,}  "
                f"return {metrics['rollout/return_mean']:.1f}"
                f"{_metric_of(metrics, 'rollout/', self._target_metric)}  "
                f"{metrics['time/environment_steps_per_s']:,.0f} steps/s  "
                f"workers {metrics['cluster/workers_alive']:.0f}"
            )

    def warn(self, text: str) -> None:
        """Print it."""
        with suppress(OSError, UnicodeError):  # the run is worth more than its display
            self._console.say(text)


class RunPanel:
    """What a panel shows of a run so far."""

    def __init__(self, config: Config, run_name: str) -> None:
        self._stop, self._run_name = config.stop, run_name
        self._update: JournalEntry | None = None
        self._evaluated = "not yet"
        self._seconds = {"sampling": 0.0, "learning": 0.0, "evaluating": 0.0}

    def note(self, entry: JournalEntry) -> None:
        """Take note of an update or an evaluation."""
        metrics = entry.metrics
        if "evaluation/return_mean" in metrics:
            metric = _metric_of(metrics, "evaluation/", self._stop.target_metric)
            self._evaluated = f"{metrics['evaluation/return_mean']:.1f}{metric}"
            self._seconds["evaluating"] += metrics["time/evaluation_s"]
        if entry.batch:
            self._update = entry
            self._seconds["sampling"] += metrics["time/sampling_s"]
            self._seconds["learning"] += metrics["time/learning_s"]

    def drawn(self) -> Panel:
        """Return the panel as it is now."""
        title = PlainConsole.cell(self._run_name)
        if self._update is None:
            return Panel(Text("waiting for the first batch"), title=title)
        entry, metric = self._update, self._stop.target_metric
        target = self._stop.target_return
        total_s = sum(self._seconds.values()) or 1.0
        shares = (f"{name} {part_s / total_s:.0%}" for name, part_s in self._seconds.items())
        shown = {
            "update": f"{entry.updates:,}",
            "steps": f"{entry.environment_steps:,}",
            "return": f"{{rollout/return_mean:.1f}}{_metric_of(entry.metrics, 'rollout/', metric)}",
            "range": "{rollout/return_min:.1f} to {rollout/return_max:.1f}",
            "evaluated": self._evaluated,
            "target": "none" if target is None else f"{metric or ''} {target:g}".strip(),
            "steps/s": "{time/environment_steps_per_s:,.0f}",
            "time": ", ".join(shares),
            "workers": "{cluster/workers_alive:.0f} ({cluster/worker_restarts:.0f} replaced)",
            "tickets": "{tickets/completed:.0f} played, {tickets/reissued:.0f} played again",
        }
        table, bar = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
        cells = [(name, text.format_map(entry.metrics)) for name, text in shown.items()]
        for left, right in zip(cells[::2], cells[1::2], strict=True):
            table.add_row(*left, *right)
        used = Progress(
            entry.updates, entry.environment_steps, training_time_s=entry.training_time_s
        ).fraction_used(self._stop)
        bar.add_row(
            ProgressBar(total=1.0, completed=used, width=40),
            Text(f"{used:.0%} of the nearest limit in 'stop'", style="dim"),
        )
        return Panel(Group(table, bar), title=title)


class LiveDisplay:
    """A panel that is redrawn in place, and goes out of the way of a debugger.

    What environments print in this process, and what is logged, comes above it.
    """

    def __init__(self, console: PlainConsole, config: Config, run_name: str) -> None:
        self._console, self._panel = console, RunPanel(config, run_name)
        self._lines = PlainDisplay(console, config.stop.target_metric)
        self._live = Live(
            console=console, get_renderable=self._panel.drawn, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> Self:
        self._switch(self._live.start)
        self._hook = sys.breakpointhook
        sys.breakpointhook = _HookAfter(self._hook, self._give_way)
        return self

    def __exit__(self, *error: object) -> None:
        sys.breakpointhook = self._hook
        self._give_way()

    def show(self, entry: JournalEntry) -> None:
        """Take note; the panel redraws itself."""
        self._panel.note(entry)
        if not self._live.is_started:
            self._lines.show(entry)

    def warn(self, text: str) -> None:
        """Print it above the panel."""
        self._console.say(text, "yellow")

    def _give_way(self) -> None:
        """Remove the panel; lines follow, for nobody says when a debugger is done."""
        self._switch(self._live.stop)

    def _switch(self, change: Callable[[], None]) -> None:
        """Start or stop the panel, which redirects the streams, or no longer."""
        with self._console.without_spinner():
            streams = sys.stdout, sys.stderr
            change()
            _redirect_log(dict(zip(streams, (sys.stdout, sys.stderr), strict=True)))


class _HookAfter:
    """``sys.breakpointhook``, with something to be done before.

    A property is asked for before the call and is no frame of it, so a debugger stops where
    ``breakpoint()`` stands, and not here.
    """

    def __init__(self, hook: Callable[..., Any], before: Callable[[], None]) -> None:
        self._hook, self._before = hook, before

    @property
    def __call__(self) -> Callable[..., Any]:
        self._before()
        return self._hook


def _redirect_log(streams: Mapping[Any, Any]) -> None:
    """Have the handlers of the root logger that write to one stream write to another."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
            handler.setStream(streams[handler.stream])


class NotebookDisplay:
    """The panel below a cell of a notebook, replaced at most once a second."""

    def __init__(self, console: PlainConsole, config: Config, run_name: str) -> None:
        self._console, self._panel = console, RunPanel(config, run_name)
        self._shown_at_s = time.monotonic()

    def __enter__(self) -> Self:
        from IPython.display import display  # there is no notebook without it

        self._output = display(  # type: ignore[no-untyped-call]
            self._drawn(), raw=True, display_id=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._output.update(self._drawn(), raw=True)

    def show(self, entry: JournalEntry) -> None:
        """Take note, and show it if it is time."""
        self._panel.note(entry)
        if time.monotonic() - self._shown_at_s >= _NOTEBOOK_INTERVAL_S:
            self._shown_at_s = time.monotonic()
            self._output.update(self._drawn(), raw=True)

    def warn(self, text: str) -> None:
        """Print it below the panel."""
        self._console.say(text)

    def _drawn(self) -> dict[str, str]:
        text = PlainConsole(file=StringIO(), width=_NOTEBOOK_WIDTH)
        text.print(self._panel.drawn())
        return {"text/plain": text.file.getvalue()}  # type: ignore[attr-defined]


def _metric_of(metrics: Mapping[str, float], prefix: str, target: str | None) -> str:
    """Return, to follow a mean return, the metric that is shown beside it; "" if there is none."""
    for name in filter(None, (target, *SUCCESS_METRICS)):
        if f"{prefix}{name}_mean" in metrics:
            return f", {name} {metrics[f'{prefix}{name}_mean']:.3g}"
    return ""


Display: TypeAlias = LiveDisplay | NotebookDisplay | PlainDisplay


def make_display(console: PlainConsole, config: Config, run_name: str) -> Display:
    """Return the display that suits the console."""
    if console.is_terminal:
        return LiveDisplay(console, config, run_name)
    if console.is_notebook and not console.quiet:
        return NotebookDisplay(console, config, run_name)
    return PlainDisplay(console, config.stop.target_metric)
