"""The display of a run: a panel in a terminal or notebook, plain lines elsewhere."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import StringIO
from math import nan
from typing import Any, Self, TypeAlias

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reinforce.cluster.console import JsonConsole, PlainConsole
from reinforce.cluster.number_format import duration, mean_and_interval, number, numbers
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.recent_returns import RECENT_UPDATES, RecentReturns
from reinforce.configs.config import Config
from reinforce.configs.experiment import SUCCESS_METRICS
from reinforce.configs.plurals import counted

_LINE_INTERVAL_S = 1.0
_NOTEBOOK_INTERVAL_S = 1.0
_NOTEBOOK_WIDTH = 100
_SAID = ("updates", "environment_steps", "training_time_s", "timestamp_ms", "metrics")
"""The parts of an entry for programs; the journal has the rest."""

_EVALUATIONS = {"evaluation": "", "sampled": "sampled_", "on other seeds": "confirmed_"}
"""Name of an evaluation in a line, and prefix of its metrics."""


class PlainDisplay:
    """Prints a line per evaluation, and one per update but at most one a second."""

    def __init__(self, console: PlainConsole, config: Config) -> None:
        self._console, self._config = console, config
        self._shown_at_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, entry: JournalEntry) -> None:
        """Print a line for each evaluation, and for an update if one is due."""
        is_time = entry.batch and time.monotonic() - self._shown_at_s >= _LINE_INTERVAL_S
        if is_time:
            self._shown_at_s = time.monotonic()
        if isinstance(self._console, JsonConsole):
            if is_time or entry.is_evaluation:
                values = {name: value for name, value in vars(entry).items() if name in _SAID}
                self._console.say_event("update" if is_time else "evaluation", values)
            return
        self.show_evaluations(entry)
        if is_time:
            self._say(_update_line(entry, self._config))

    def show_evaluations(self, entry: JournalEntry) -> None:
        """Print a line for each evaluation."""
        for line in evaluation_lines(entry, self._config):
            with suppress(OSError, UnicodeError):
                self._console.say_words(line, len("update 12345  "))

    def warn(self, text: str) -> None:
        """Print it."""
        with suppress(OSError, UnicodeError):  # the run is worth more than its display
            self._console.warn(text)

    def _say(self, text: str) -> None:
        with suppress(OSError, UnicodeError):
            self._console.say(text)


def evaluation_lines(entry: JournalEntry, config: Config) -> Iterator[str]:
    """Yield a line for each evaluation in an entry, with its 95 % interval."""
    for name, prefix in _EVALUATIONS.items():
        if result := _evaluated(entry.metrics, f"evaluation/{prefix}", config):
            yield f"update {entry.updates:>5}  {name}: return {result}"


def _update_line(entry: JournalEntry, config: Config) -> str:
    metrics = entry.metrics
    return (
        f"update {entry.updates:>5}  {duration(entry.training_time_s)}  "
        f"steps {entry.environment_steps:,}  "
        f"return {number(metrics.get('rollout/return_mean', nan))}"
        f"{_own_metrics(metrics, 'rollout/', config)}  "
        f"{metrics['time/environment_steps_per_s']:,.0f} steps/s  "
        f"workers {metrics['cluster/workers_alive']:.0f}"
    )


def _evaluated(metrics: Mapping[str, float], prefix: str, config: Config) -> str:
    """Return an evaluation's result; "" if there was none."""
    names = [f"{prefix}return_{part}" for part in ("mean", "ci_low", "ci_high")]
    if names[0] not in metrics:
        return ""
    result = mean_and_interval(*(metrics.get(name, math.nan) for name in names))
    return f"{result}{_own_metrics(metrics, prefix, config)}"


def _own_metrics(metrics: Mapping[str, float], prefix: str, config: Config) -> str:
    """Return the user's metrics and successes, to be appended to a return."""
    keys = {name: f"{prefix}{name}_mean" for name in (*config.requested_metrics, *SUCCESS_METRICS)}
    return "".join(
        f", {name} {number(metrics[key])}" for name, key in keys.items() if key in metrics
    )


class RunPanel:
    """The content of a panel."""

    def __init__(self, config: Config, run_name: str) -> None:
        self._config, self._run_name = config, run_name
        self._update: JournalEntry | None = None
        self._recent = RecentReturns()
        self._evaluated = {"evaluated": "not yet"}
        self._seconds = {"sampling": 0.0, "learning": 0.0, "evaluating": 0.0}
        self._training_time_s, self._noted_at_s = 0.0, time.monotonic()
        self._stage: str | None = "playing the first episodes"

    def note(self, entry: JournalEntry) -> None:
        """Include an update or an evaluation."""
        metrics, every = entry.metrics, self._config.evaluation.every_updates
        self._recent.note(entry)
        self._training_time_s, self._noted_at_s = entry.training_time_s, time.monotonic()
        if result := _evaluated(metrics, "evaluation/", self._config):
            self._evaluated = {"evaluated": f"{result} at update {entry.updates:,}"}
            if sampled := _evaluated(metrics, "evaluation/sampled_", self._config):
                self._evaluated["sampled"] = sampled
            self._seconds["evaluating"] += metrics["time/evaluation_s"]
        if entry.batch:
            self._update = entry
            self._seconds["sampling"] += metrics["time/sampling_s"]
            self._seconds["learning"] += metrics["time/learning_s"]
        is_next = entry.batch and every and entry.updates % every == 0
        is_over = self._progress(entry).reached_limit(self._config.stop, None)
        self._stage = "evaluating" if is_next or is_over else f"update {entry.updates + 1:,}"

    def close(self) -> None:
        """Stop the clock, so that the panel shows how training ended."""
        self._training_time_s, self._stage = self._elapsed_s, None

    @property
    def _elapsed_s(self) -> float:
        since_s = time.monotonic() - self._noted_at_s if self._stage else 0.0
        return self._training_time_s + since_s

    def drawn(self) -> Panel:
        """Return the current panel."""
        title, stage = PlainConsole.cell(self._run_name), self._stage
        if self._update is None:
            return Panel(Text(f"{duration(self._elapsed_s)}  {stage or ''}"), title=title)
        limit, used = self._progress(self._update).nearest_limit(self._config.stop)
        left_s = max(0.0, self._training_time_s / used - self._elapsed_s)
        left = f", about {duration(left_s)} left" if stage else " used"
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        for name, text in self._rows(self._update).items():
            table.add_row(name, text)
        table.add_row("limit", f"{used:.0%} of stop.{limit}{left}")
        bar = ProgressBar(1.0, used)
        # At the end there is none: a target is reached with most of each limit left.
        return Panel(Group(table, *([bar] if stage else [])), title=title, subtitle=stage)

    def _progress(self, entry: JournalEntry) -> Progress:
        time_s = self._training_time_s
        return Progress(entry.updates, entry.environment_steps, training_time_s=time_s)

    def _rows(self, entry: JournalEntry) -> dict[str, str]:
        metrics, stop = entry.metrics, self._config.stop
        low_high = numbers(*(metrics.get(f"rollout/return_{end}", nan) for end in ("min", "max")))
        own = _own_metrics(metrics, "rollout/", self._config)
        goal, recent = stop.target_return, self._recent.mean
        target = {} if goal is None else {"target": f"{stop.target_metric or 'return'} {goal:g}"}
        total_s = sum(self._seconds.values()) or 1.0
        shares = (f"{name} {part_s / total_s:.0%}" for name, part_s in self._seconds.items())
        return {
            "training": f"update {entry.updates:,} of {stop.max_updates:,}, "
            f"{counted(entry.environment_steps, 'step')}, "
            f"{metrics['time/environment_steps_per_s']:,.0f} steps/s",
            "return": f"{number(metrics.get('rollout/return_mean', nan))}; "
            f"single episodes {' to '.join(low_high)}; "
            f"last {RECENT_UPDATES} updates {number(nan if recent is None else recent)}",
            **({"metrics": own.removeprefix(", ")} if own else {}),
            **self._evaluated,
            **target,
            "time": f"{duration(self._elapsed_s)}: {', '.join(shares)}",
            "workers": f"{metrics['cluster/workers_alive']:.0f} "
            f"({metrics['cluster/worker_restarts']:.0f} replaced); tickets: "
            f"{metrics['tickets/completed']:.0f} played, "
            f"{metrics['tickets/reissued']:.0f} played again",
        }


class LiveDisplay:
    """A panel that is redrawn in place and stays at the end, below a line for each evaluation.

    Prints of environments in this process, and logs, appear above it. It makes room for a debugger.
    """

    def __init__(self, console: PlainConsole, config: Config, run_name: str) -> None:
        self._console, self._panel = console, RunPanel(config, run_name)
        self._config, self._lines = config, PlainDisplay(console, config)
        self._live = Live(console=console, get_renderable=self._panel.drawn, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._switch(self._live.start)
        self._hook = sys.breakpointhook
        sys.breakpointhook = _HookAfter(self._hook, self._give_way)
        return self

    def __exit__(self, *error: object) -> None:
        sys.breakpointhook = self._hook
        self._panel.close()
        self._switch(self._live.stop)

    def show(self, entry: JournalEntry) -> None:
        """Include an entry; the panel redraws itself, and evaluations stay above it."""
        self._panel.note(entry)
        if not self._live.is_started:
            self._lines.show(entry)
        else:
            self._lines.show_evaluations(entry)

    def warn(self, text: str) -> None:
        """Print it above the panel."""
        self._console.warn(text)

    def _give_way(self) -> None:
        """Remove the panel and continue with lines, because a debugger does not report its end."""
        self._live.transient = True
        self._switch(self._live.stop)

    def _switch(self, change: Callable[[], None]) -> None:
        """Start or stop the panel and its redirection of streams."""
        with self._console.without_spinner():
            streams = sys.stdout, sys.stderr
            change()
            _redirect_log(dict(zip(streams, (sys.stdout, sys.stderr), strict=True)))


class _HookAfter:
    """A ``sys.breakpointhook`` that first does something else.

    A property runs before the call and adds no frame, so a debugger stops at ``breakpoint()`` and
    not here.
    """

    def __init__(self, hook: Callable[..., Any], before: Callable[[], None]) -> None:
        self._hook, self._before = hook, before

    @property
    def __call__(self) -> Callable[..., Any]:
        self._before()
        return self._hook


def _redirect_log(streams: Mapping[Any, Any]) -> None:
    """Redirect handlers of the root logger from one stream to another."""
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
        self._panel.close()
        self._output.update(self._drawn(), raw=True)

    def show(self, entry: JournalEntry) -> None:
        """Include an entry, and show it if it is time."""
        self._panel.note(entry)
        if time.monotonic() - self._shown_at_s >= _NOTEBOOK_INTERVAL_S:
            self._shown_at_s = time.monotonic()
            self._output.update(self._drawn(), raw=True)

    def warn(self, text: str) -> None:
        """Print it below the panel."""
        self._console.warn(text)

    def _drawn(self) -> dict[str, str]:
        text = PlainConsole(file=StringIO(), width=_NOTEBOOK_WIDTH)
        text.print(self._panel.drawn())
        return {"text/plain": text.file.getvalue()}  # type: ignore[attr-defined]


Display: TypeAlias = LiveDisplay | NotebookDisplay | PlainDisplay


def make_display(console: PlainConsole, config: Config, run_name: str) -> Display:
    """Return the display for this console."""
    if console.is_terminal and not console.quiet:
        return LiveDisplay(console, config, run_name)
    if console.is_notebook and not console.quiet:
        return NotebookDisplay(console, config, run_name)
    return PlainDisplay(console, config)
