"""Where everything is printed: as it is written, whatever rich or a terminal would make of it."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO, Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from reinforce.cluster.errors import OutputLostError
from reinforce.configs.quoting import message_text, printable

_UNWRAPPED = 100_000
"""Columns of what is no terminal: no table is that wide."""


class PlainConsole(Console):
    """Standard output. What stands between two colons is no picture: users' texts are shown as is.

    Args:
        quiet_when_unread: Go on in silence when the reader of a pipe has gone, or the disk is full
            that the output goes to, as a run should.
        options: As rich has them.
    """

    def __init__(self, *, quiet_when_unread: bool = False, **options: Any) -> None:
        if _is_notebook():
            # Below a cell a terminal's codes are garbage, and rich would make each line a page.
            options = {"force_terminal": False, **options}
        super().__init__(emoji=False, force_jupyter=False, **options)
        if not self.is_terminal and "width" not in options:
            self.width = _UNWRAPPED  # nobody sees it as it is: programs read it line by line
        self._quiet_when_unread = quiet_when_unread
        self._waits: list[str] = []
        self._spinner: Status | None = None
        self._spinner_lock = threading.Lock()

    @property
    def is_notebook(self) -> bool:
        """Whether this writes below the cells of a notebook."""
        return _is_notebook() and self.file is sys.stdout

    def say(self, text: str, style: str | None = None) -> None:
        """Print a message without wrapping, highlighting or markup; an endless line is cut."""
        self._print_as_it_is(message_text(text), style)

    def say_data(self, text: str) -> None:
        """Print what programs read: whole, however long its lines are."""
        self._print_as_it_is(printable(text), None)

    def _print_as_it_is(self, text: str, style: str | None) -> None:
        self.print(text, style=style, highlight=False, soft_wrap=True, markup=False)

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            discard_output(self.file)
            lost = OutputLostError.of(error)
            if not self._quiet_when_unread:
                raise lost from None
            self.quiet = True
            with suppress(OSError):  # that of the error messages may be the same disk
                sys.stderr.write(f"reinforce: {lost}; the run goes on in silence\n")

    def print_table(self, table: Table) -> None:
        """Print a table, outside of a terminal without the blanks that fill its last column."""
        if self.is_terminal:
            self.print(table)
            return
        with self.capture() as captured:
            self.print(table)
        lines = (line.rstrip() for line in captured.get().splitlines())
        self._print_as_it_is("\n".join(lines), None)

    def say_rows(self, rows: Mapping[str, str]) -> None:
        """Print a line per row, its name first."""
        for name, text in rows.items():
            self.say(f"{name:<12}{text}")

    @contextmanager
    def showing_wait(self, text: str) -> Iterator[None]:
        """Context in which the one spinner of this console shows a text, beside those of others."""
        with self._spinner_lock:
            self._waits.append(text)
            self._draw_spinner()
        try:
            yield
        finally:
            with self._spinner_lock:
                self._waits.remove(text)
                self._draw_spinner()

    @contextmanager
    def without_spinner(self) -> Iterator[None]:
        """Context in which another live display begins or ends: rich removes the newest of them."""
        with self._spinner_lock:
            if self._spinner:
                self._spinner.stop()
                self._spinner = None
            try:
                yield
            finally:
                self._draw_spinner()

    def _draw_spinner(self) -> None:
        text = self.cell("; ".join(dict.fromkeys(self._waits)))
        if self._spinner and self._waits:
            self._spinner.update(text)
        elif self._spinner:
            self._spinner.stop()
            self._spinner = None
        elif self._waits:
            self._spinner = self.status(text)
            self._spinner.start()

    @staticmethod
    def cell(text: str) -> Text:
        """Return a user's text for a table or the title of a panel."""
        return Text(printable(text))

    def on_broken_pipe(self) -> None:
        """Say no more, or let the command line end as a reader of a pipe wants it."""
        if self._quiet_when_unread:
            self.quiet = True
        else:
            raise BrokenPipeError


class JsonConsole(PlainConsole):
    """Standard output as lines of JSON, each an object with ``event``, for programs."""

    def __init__(self) -> None:
        super().__init__(quiet_when_unread=True, file=sys.stdout, force_terminal=False)

    def say(self, text: str, style: str | None = None) -> None:
        self.say_event("message", {"text": message_text(text)})

    def say_event(self, kind: str, values: Mapping[str, Any]) -> None:
        """Print one object."""
        self.say_data(json.dumps({"event": kind, **values}))


@contextmanager
def console_of_a_run(log_format: str) -> Iterator[PlainConsole]:
    """Context in which a run says how far it is, as text or as JSON alone.

    What environments print in this process goes to standard error where programs read the output.
    """
    if log_format == "text":
        yield PlainConsole(quiet_when_unread=True)
        return
    console = JsonConsole()
    with redirect_stdout(sys.stderr):
        yield console


def discard_output(stream: IO[str]) -> None:
    """Have a stream that cannot be written lead nowhere: at its end Python writes what is left."""
    with suppress(OSError):  # it is no file of the system
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_notebook() -> bool:
    """Return whether this is the process of a notebook: a shell with a kernel behind it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None
