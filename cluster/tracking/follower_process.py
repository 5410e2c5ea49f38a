"""The driver's end of tracking: starts the follower, lets go of it, and waits for it."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import LineReader
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import (
    ANSWERS_AGAIN,
    loss_in_words,
    place_in_words,
    read_tracking_state,
)
from reinforce.cluster.tracking.experiment import missing, overruled
from reinforce.cluster.tracking.lifeline import start_follower, tell_end, tell_start
from reinforce.cluster.tracking.provenance import note_origin, words_after_reinforce
from reinforce.cluster.waiting import waiting
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.quoting import command_line

_START_TIMEOUT_S = 60.0
"""For the follower to be there at all (after a run of a second it is still importing MLflow), and
for a database, whose tables it may be making: that takes its time and must not be broken off."""

_SERVER_TIMEOUT_S = 5.0
"""For a server that does not answer. While it answers, the end waits for it."""

_PATIENCE_AFTER_A_SIGNAL_S = 3.0
"""From the signal on. The follower goes on by itself, if it can."""

_ORIGIN_TIMEOUT_S = 10.0
"""For the note of where a run comes from; Git may be slow."""

_POLL_S = 0.05

_COMPLAINT = "MLflow: "
"""How each line of the follower's log begins that users should read."""

_COMPLAINT_LASTS_S = 3.0
"""What MLflow has got over within that time is not worth a word."""


class Tracking:
    """A follower process on a lifeline; if tracking is off, only a note of the run's origin.

    However this process ends, the follower then sends what is left and gives the MLflow run its
    status.
    """

    def __init__(
        self, config: TrackingConfig, console: PlainConsole, interrupts: Interrupts
    ) -> None:
        self._config, self._console, self._interrupts = config, console, interrupts
        self._is_over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._run: RunDirectory | None = None
        self._sign_at_start = 0
        self._origin: Future[Any] | None = None

    def __enter__(self) -> Self:
        if self._config.enabled:
            self._process = start_follower("reinforce.cluster.tracking.follower")
        return self

    def __exit__(self, *error: object) -> None:
        self.let_go()
        if self._origin:
            wait([self._origin], _ORIGIN_TIMEOUT_S)  # a full disk loses it, and no run ends of that
        if self._process and self._run is None:  # it has nothing to send
            self._process.kill()
            self._process.wait()
        elif self._process:
            with waiting(self._console, "waiting for MLflow to take the rest"):
                self._wait_while_it_gets_on(self._process)

    def follow(self, run: RunDirectory) -> None:
        """Have the follower send this run directory from now on."""
        if not (self._config.enabled or self._origin):  # else the follower notes it
            words = words_after_reinforce()
            self._origin = start_in_background(partial(note_origin, run.origin_file, words))
        if self._run or not self._process:
            return
        self._run = run
        self._sign_at_start = self._sign()
        complaints = LineReader(run.tracking_log)
        for _ in complaints.new_lines():
            pass  # of earlier processes
        start_in_background(partial(self._tell_complaints, complaints, str(run.path)))
        tell_start(self._process, run.path)

    def remarks(self, run: RunDirectory) -> Iterator[str]:
        """Yield a sentence on each variable of MLflow's that is wrong or has no effect here."""
        if self._config.enabled:
            run_id = read_tracking_state(run.tracking_file).get("run_id")
            yield from overruled(self._config, run_id)
            yield from missing(self._config, run_id)

    def run_id(self) -> str | None:
        """Return the id of the MLflow run, if it has been created by now."""
        return self._state().get("run_id")

    def let_go(self) -> None:
        """Tell the follower that the run is over; it finishes while others clean up."""
        self._is_over.set()
        if self._process:
            tell_end(self._process)

    def _tell_complaints(self, log: LineReader, run: str) -> None:
        """Say while the run goes on what keeps MLflow from taking it, each reason once."""
        told: set[str] = set()
        newest, since_s = "", time.monotonic()
        with closing(log):
            while not self._is_over.wait(_COMPLAINT_LASTS_S / 3):
                for line in log.new_lines():
                    if line.startswith(_COMPLAINT.encode()):
                        newest, since_s = line.decode(errors="replace").strip(), time.monotonic()
                lasts = time.monotonic() - since_s >= _COMPLAINT_LASTS_S
                if newest and newest not in told and lasts and (told or newest != ANSWERS_AGAIN):
                    told.add(newest)
                    later = f"; the run continues, and `{command_line('sync', run)}` sends the rest"
                    self._say(newest + later * (newest != ANSWERS_AGAIN))

    def _say(self, text: str) -> None:
        with suppress(OSError, UnicodeError):  # the run is worth more than what is said of it
            self._console.warn(text)

    def print_link(self) -> None:
        """Print where to see the run, or how to send what could not be sent."""
        if not (self._process and self._run):
            return
        state = self._state()
        if self._process.returncode is None:
            lines = ["MLflow gets the rest in the background"]
            lines += place_in_words(state) if "link" in state else []
        elif self._process.returncode != 0 or "link" not in state:
            lines = [
                f"MLflow did not get everything: {_last_complaint(self._run.tracking_log)}",
                f"`{command_line('sync', self._run.path)}` sends the rest",
            ]
        else:
            lines, loss = place_in_words(state), loss_in_words(state)
            if loss:
                lines += [f"MLflow: {loss}", f"`{command_line('sync', self._run.path)}` sends them"]
            if state.get("num_refused"):
                lines.append(
                    f"MLflow left out {state['num_refused']}; {self._run.tracking_log} says what"
                )
        for line in lines:
            self._console.say(line)

    def _wait_while_it_gets_on(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the follower's end; end it when MLflow leaves it without an answer."""
        sign, timeout_s, since_s = self._sign_at_start, _START_TIMEOUT_S, time.monotonic()
        while process.poll() is None:
            if self._sign() != sign:
                is_server = self._state().get("is_server")
                timeout_s = _SERVER_TIMEOUT_S if is_server else _START_TIMEOUT_S
                sign, since_s = self._sign(), time.monotonic()
            if time.monotonic() - since_s > timeout_s:
                process.kill()
                process.wait()
            if self._interrupts.is_late(_PATIENCE_AFTER_A_SIGNAL_S) and not _ends_what_we_start():
                start_in_background(process.wait)
                return
            time.sleep(_POLL_S)

    def _state(self) -> dict[str, Any]:
        return read_tracking_state(self._run.tracking_file) if self._run else {}

    def _sign(self) -> int:
        """Return the time in ns at which the follower last got on."""
        with suppress(OSError):
            return self._run.tracking_log.stat().st_mtime_ns if self._run else 0
        return 0


def _last_complaint(log: Path) -> str:
    """Return the last reason that the follower gave."""
    if not log.exists():
        return "its process could not be started"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if line.startswith(_COMPLAINT)]
    return said[-1].removeprefix(_COMPLAINT) if said else "it does not answer"


def _ends_what_we_start() -> bool:
    """Return whether our end is that of a container or of a service, with all its processes."""
    return os.getppid() <= 1
