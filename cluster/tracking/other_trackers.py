"""Trackers beside MLflow: each follows the journal in a process of its own, off by default.

A tracker has what the journal has, however often a run is resumed: it knows how far it got, and the
journal is read from its start. It never hurts the run: one that fails is worth one warning.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import LineReader, last_lines, open_locked
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.tracking.lifeline import (
    is_driver_gone,
    start_follower,
    tell_end,
    tell_start,
    wait_for_start,
)
from reinforce.cluster.tracking.pacing import MetricWindows
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.loading import load_config

_LABELS = {"tensorboard": "TensorBoard", "wandb": "W&B"}
"""By the setting of the section ``tracking``, which is also the extra that brings its package."""

_POLL_S = 2.0
_LOCK_TIMEOUT_S = 60.0
"""For the follower of a driver that was killed, which may still be finishing."""

_END_TIMEOUT_S = 20.0
_END_AFTER_A_SIGNAL_S = 3.0
_LAST_WORDS_BYTES = 2**12


class Tracker(Protocol):
    """What takes the points of a run. Its methods may raise whatever its library raises."""

    def log(self, entry: JournalEntry) -> None:
        """Take the metrics of an entry; those that it has already are left out."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Take what was logged to its end; the summary is None if the driver was lost."""


def make_tracker(name: str, run: RunDirectory, config: Config) -> Tracker:
    """Return the tracker that a setting of the section ``tracking`` turns on.

    Raises:
        ModuleNotFoundError: Its package is not installed.
        Exception: It does not take the run.
    """
    # Imported late: each needs a package that may be missing.
    if name == "tensorboard":
        from reinforce.cluster.tracking.tensorboard_events import TensorBoardEvents

        return TensorBoardEvents(run)
    from reinforce.cluster.tracking.wandb_run import WandbRun

    return WandbRun(run, config)


def follow(run: RunDirectory, tracker: Tracker, is_over: Callable[[float], bool]) -> None:
    """Hand a run's entries to a tracker until the run is over, and close it.

    Args:
        run: Its directory, whose journal may be cut back meanwhile.
        tracker: Where to.
        is_over: Waits up to so many seconds and returns whether the run is over.
    """
    ends = is_whole = False
    while not is_whole:
        windows = MetricWindows()
        with closing(LineReader(run.journal_file)) as journal:
            while not (is_whole or journal.is_replaced()):
                ends = ends or is_over(_POLL_S)
                for entry in _new_entries(journal):
                    for complete in windows.add(entry):
                        tracker.log(complete)
                is_whole = ends and not journal.is_replaced()
    for entry in windows.flush():
        tracker.log(entry)
    tracker.close(read_summary(run.summary_file))


def _new_entries(journal: LineReader) -> Iterator[JournalEntry]:
    """Yield what new lines hold; one that a loss of power tore does not keep back the rest."""
    for line in journal.new_lines():
        try:
            entry = JournalEntry.parse(line)
        except ValueError as error:
            print(f"left out: a line of the journal: {error}", file=sys.stderr)
        else:
            yield entry


class OtherTrackers:
    """Context of the processes that follow a run for trackers beside MLflow, if it names any."""

    def __init__(
        self, config: TrackingConfig, console: PlainConsole, interrupts: Interrupts
    ) -> None:
        self._names = _named(config)
        self._console, self._interrupts = console, interrupts
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ends: dict[str, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.let_go()
        deadline_s = time.monotonic() + _END_TIMEOUT_S
        for name, end in self._ends.items():
            with waiting(self._console, f"waiting for {_LABELS[name]} to take the rest"):
                self._wait_for(name, end, deadline_s)

    def follow(self, run: RunDirectory) -> None:
        """Have them follow this run from now on."""
        for name in self._names if not self._processes else ():
            process = start_follower(__name__, name)
            self._processes[name] = process
            tell_start(process, run.path)
            watch = partial(self._tell_of_failure, name, process, run)
            self._ends[name] = start_in_background(watch)

    def let_go(self) -> None:
        """Tell them that the run is over; they finish while others clean up."""
        for process in self._processes.values():
            tell_end(process)

    def _tell_of_failure(
        self, name: str, process: "subprocess.Popen[bytes]", run: RunDirectory
    ) -> None:
        if process.wait() == 0:
            return
        said = [line.decode(errors="replace").strip() for line in _last_words(run, name)]
        reason = next(iter(said[-1:]), f"its process ended with {process.returncode}")
        with suppress(OSError, UnicodeError):  # the run is worth more than what is said of it
            self._console.warn(f"{_LABELS[name]} does not follow this run: {reason}")

    def _wait_for(self, name: str, end: "Future[None]", deadline_s: float) -> None:
        while not end.done():
            is_late = self._interrupts.is_late(_END_AFTER_A_SIGNAL_S)
            if is_late or time.monotonic() > deadline_s:
                self._console.say(f"{_LABELS[name]} gets the rest in the background")
                return
            time.sleep(0.05)


def sends_of_rest(run: RunDirectory, config: Config) -> dict[str, Callable[[], None]]:
    """Return by its label what sends each tracker that a run names the rest, when the run is over.

    Each raises a UsageError if its tracker does not take it, or follows the run already.
    """
    return {
        _LABELS[name]: partial(_send_rest, run, config, name) for name in _named(config.tracking)
    }


def _send_rest(run: RunDirectory, config: Config, name: str) -> None:
    try:
        with open_locked(_log_file(run, name)):
            follow(run, make_tracker(name, run, config), lambda wait_s: True)
    except Exception as error:  # noqa: BLE001  (whatever its library raises)
        raise UsageError(f"{_LABELS[name]}: {_in_words(name, error)}") from None


def _named(config: TrackingConfig) -> list[str]:
    return [name for name in _LABELS if getattr(config, name)]


def _in_words(name: str, error: Exception) -> str:
    """Return in one line why a tracker does not follow."""
    if isinstance(error, ModuleNotFoundError):
        package, extra = str(error.name).partition(".")[0], f"distributed-reinforce[{name}]"
        return f"the package {package} is missing: `pip install '{extra}'`"
    return " ".join(f"{type(error).__name__}: {error}".split())


def _log_file(run: RunDirectory, name: str) -> Path:
    return run.path / f"{name}.log"


def _last_words(run: RunDirectory, name: str) -> list[bytes]:
    with suppress(OSError):
        return last_lines(_log_file(run, name), _LAST_WORDS_BYTES)
    return []


def main(name: str) -> int:
    """Follow the directory named on standard input until that input ends."""
    start = wait_for_start()
    if start is None:
        return 0
    # Whoever stops a job may signal all its processes. This one ends when the driver has.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run = RunDirectory(start.run_directory)
    with open_locked(_log_file(run, name), _LOCK_TIMEOUT_S) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            config = load_config(str(run.config_file))
            follow(run, make_tracker(name, run, config), is_driver_gone)
        except Exception as error:  # noqa: BLE001  (whatever a tracker's library raises)
            print(_in_words(name, error), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
