"""What environments print and log in workers, sent on line by line and shown by the driver.

Each line goes at once, through Ray's own channel for the logs of a job: of a ticket that hangs, the
last line is the one that is wanted (docs/decisions/0101-what-workers-print.md).
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from queue import SimpleQueue
from typing import Any, TextIO

from reinforce.cluster.backends.ray.private import PublishedLines, publish_line
from reinforce.configs.execution import WorkersConfig
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import cut_line, printable
from reinforce.workers.tickets import Purpose, Ticket

_LINES_PER_S = 20
"""Lines that one worker may send. Sending one takes half a millisecond."""

_SHOWN_LINES_PER_S = 100
"""Lines that all workers may show together."""

_MAX_CHARACTERS = 500
_MAX_PENDING = 10_000
"""Characters without an end of line that are kept."""

_LAST = ""
"""What the driver sends to itself at the end: all that was sent before it has come before it."""

_POLL_S = 0.5
_LAST_LINES_S = 2.0
"""At the end, for the lines that are still on their way."""


class LineBudget:
    """Lets so many lines pass in a second, and says how many it left out."""

    def __init__(self, lines_per_s: int) -> None:
        self._lines_per_s = lines_per_s
        self._second_began_s, self._num_lines, self._num_left_out = float("-inf"), 0, 0

    def passed(self, line: str, now_s: float) -> Iterator[str]:
        """Yield what is to be shown now: the line, and before it how many are missing."""
        if now_s >= self._second_began_s + 1.0:
            yield from self.rest()
            self._second_began_s, self._num_lines = now_s, 0
        self._num_lines += 1
        if self._num_lines <= self._lines_per_s:
            yield line
        else:
            self._num_left_out += 1

    def rest(self) -> Iterator[str]:
        """Yield how many lines were left out since this was last said."""
        num, self._num_left_out = self._num_left_out, 0
        if num:
            yield (
                f"({counted(num, 'line')} {'was' if num == 1 else 'were'} left out: more than "
                f"{self._lines_per_s} in a second)"
            )


class WorkerOutput:
    """Sends what a worker's process prints and logs, with its number and the ticket in play.

    What is printed goes to Ray's log files, too. There alone stands what the processes print that
    an environment starts, and libraries that write past Python.
    """

    def __init__(self, worker: int, send: Callable[[str], None] = publish_line) -> None:
        self._worker, self._send, self._pid = worker, send, os.getpid()
        self._ticket = ""
        self._budget, self._lock = LineBudget(_LINES_PER_S), threading.RLock()
        self._streams: list[_SentStream] = []

    def begin(self) -> None:
        """Take over the streams of this process, and what goes to the root logger."""
        sys.stdout, sys.stderr = self._streams = [
            _SentStream(stream, self.send) for stream in (sys.stdout, sys.stderr)
        ]
        handler = _SentRecords(self.send)
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        logging.getLogger().addHandler(handler)

    @contextmanager
    def of_ticket(self, ticket: Ticket) -> Iterator[None]:
        """Context in which what is sent is of a ticket; a line without an end ends with it."""
        is_training = ticket.purpose is Purpose.TRAINING
        kind = "" if is_training else f"{ticket.purpose.name.lower()}:"
        self._ticket = f", ticket {kind}{ticket.update}:{ticket.index}"
        try:
            yield
        finally:
            self._end_lines()
            self._ticket = ""

    def begin_tickets(self) -> None:
        """Send what is left, and count afresh: constructors must not silence the first steps."""
        self.end()
        self._budget = LineBudget(_LINES_PER_S)

    def end(self) -> None:
        """Send what is left."""
        self._end_lines()
        with self._lock:
            self._send_all(self._budget.rest())

    def send(self, line: str) -> None:
        """Send a line, if there are not too many; nothing that goes wrong with it is an error."""
        if os.getpid() != self._pid:  # in a fork, Ray's connections must not be used
            return
        with self._lock:
            self._send_all(self._budget.passed(line, time.monotonic()))

    def _send_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            text = cut_line(printable(line), _MAX_CHARACTERS)
            with suppress(Exception):  # a ticket is worth more than its prints
                self._send(f"[worker {self._worker}{self._ticket}] {text}")

    def _end_lines(self) -> None:
        for stream in self._streams:
            stream.end_line()


class _SentStream:
    """A stream whose lines are sent on, too; in all else it is the one that it stands for."""

    def __init__(self, stream: TextIO, send: Callable[[str], None]) -> None:
        self._stream, self._send = stream, send
        self._pending = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._send_line(line)
        if len(self._pending) > _MAX_PENDING:
            self.end_line()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def end_line(self) -> None:
        """Send what has no end yet."""
        line, self._pending = self._pending, ""
        if line:
            self._send_line(line)

    def _send_line(self, line: str) -> None:
        """Send a line as a terminal shows it in the end: a progress bar begins it again."""
        self._send(line.rstrip("\r").rpartition("\r")[2])


class _SentRecords(logging.Handler):
    """Sends what is logged; the handler that Ray has put beside it writes to its files."""

    def __init__(self, send: Callable[[str], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record).split("\n")
        except Exception:  # noqa: BLE001  (arguments that do not go with the message)
            self.handleError(record)
            return
        for line in lines:
            self._send(line)


@contextmanager
def shown_output(
    config: WorkersConfig, print_line: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Yield what prints the lines of all workers that have come since it was last called."""
    if not config.show_output:
        yield lambda: None
        return
    with closing(_ShownOutput(print_line)) as shown:
        yield shown.show


class _ShownOutput:
    """Receives lines in a thread; they are printed by who calls ``show``, and at the end."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print, self._budget = print_line, LineBudget(_SHOWN_LINES_PER_S)
        self._received: SimpleQueue[str] = SimpleQueue()
        self._ends_s = float("inf")
        self._published = PublishedLines()
        self._thread = threading.Thread(target=self._receive, daemon=True, name="worker output")
        self._thread.start()

    def show(self) -> None:
        """Print what has come."""
        while not self._received.empty():
            self._print(self._received.get())

    def close(self) -> None:
        """Show what was sent before now."""
        self._ends_s = time.monotonic() + _LAST_LINES_S
        with suppress(Exception):  # a cluster that is gone has no more lines
            publish_line(_LAST)
        self._thread.join(_LAST_LINES_S + _POLL_S)
        self.show()

    def _receive(self) -> None:
        try:
            while time.monotonic() < self._ends_s:
                for line in self._published.next(_POLL_S):
                    if line == _LAST:
                        return
                    self._put(self._budget.passed(line, time.monotonic()))
        except Exception as error:  # noqa: BLE001  (whatever Ray's channel raises)
            self._put([f"(what workers print is no longer shown: {error})"])
        finally:
            self._put(self._budget.rest())
            self._published.close()

    def _put(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._received.put(line)
