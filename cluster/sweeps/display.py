"""What one sees of the runs of a sweep while they go on: a spinner in a terminal, or lines."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self

from rich.status import Status

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.number_format import number
from reinforce.cluster.run_store.recent_returns import RECENT_UPDATES, recent_returns
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.plurals import counted

_SPINNER_S = 1.0
_FIRST_LINE_S, _MAX_LINE_S = 15.0, 300.0
_MOST_RUNS = 8
"""How many are named at a time; a wide sweep would fill the screen."""


class SweepDisplay:
    """Says how far the runs are: in a terminal all the time; elsewhere in a line now and then.

    The first line comes 15 s after a run has begun or ended, the next after twice as long, and so
    on up to 5 minutes.
    """

    def __init__(
        self, console: PlainConsole, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._clock_s = console, clock_s
        self._status = console.status("") if console.is_terminal else None
        self._runs: Sequence[str] = ()
        self._due_s = self._pause_s = 0.0

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.__exit__(None, None, None)

    @property
    def _shown(self) -> AbstractContextManager[Status | None]:
        return self._status or nullcontext()

    def show(self, runs: Sequence[RunDirectory]) -> None:
        """Say how far these runs are, if it is time."""
        names = [run.name for run in runs]
        if names != self._runs:
            self._runs = names
            self._pause_s = _SPINNER_S if self._status else _FIRST_LINE_S
            self._due_s = self._clock_s() + (0 if self._status else self._pause_s)
        if not runs or self._clock_s() < self._due_s:
            return
        others = [f"{len(runs) - _MOST_RUNS} others"] if len(runs) > _MOST_RUNS else []
        text = "; ".join([*map(_how_far, runs[:_MOST_RUNS]), *others])
        if self._status:
            self._status.update(self._console.cell(text))
        else:
            self._console.say(text)
            self._pause_s = min(2 * self._pause_s, _MAX_LINE_S)
        self._due_s = self._clock_s() + self._pause_s


def _how_far(run: RunDirectory) -> str:
    recent = recent_returns(run.journal_file)
    if recent.newest is None or recent.mean is None:
        return f"{run.name} is starting"
    steps, mean = counted(recent.newest.environment_steps, "step"), number(recent.mean)
    return f"{run.name} at {steps}, return of the last {RECENT_UPDATES} updates {mean}"
