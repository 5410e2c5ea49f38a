"""The console, which prints text unchanged, whatever rich or a terminal would do with it."""

import json
import os
import sys
import textwrap
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from reinforce.cluster.errors import OutputLostError
from reinforce.configs.quoting import message_text, printable

ATTENTION = "magenta"
"""Style of warnings. Unlike yellow and green, it can be read on white as well as on black."""

_BARS = ("bar.complete", "bar.finished", "bar.pulse", "status.spinner", "progress.spinner")
_TIMES = ("progress.elapsed", "progress.remaining", "progress.percentage", "progress.data.speed")
_THEME = Theme(
    {
        "bar.back": "bright_black",
        **dict.fromkeys(_BARS, ATTENTION),
        **dict.fromkeys(_TIMES, "none"),
    }
)
"""In place of rich's colours, which are made for a dark background."""

_UNWRAPPED = 100_000
"""Width of outputs that are not terminals: wider than any table."""


class PlainConsole(Console):
    """Standard output. Users' texts are shown unchanged, without rich's emoji codes.

    Args:
        quiet_when_unread: Continue silently if the reader of a pipe is gone, or the output's disk
            is full, as a run should.
        options: Options of rich's console.
    """

    def __init__(self, *, quiet_when_unread: bool = False, **options: Any) -> None:
        if _is_notebook():
            # Below a cell a terminal's codes are garbage, and rich would make each line a page.
            options = {"force_terminal": False, **options}
        super().__init__(emoji=False, force_jupyter=False, theme=_THEME, **options)
        if not self.is_terminal and "width" not in options:
            self.width = _UNWRAPPED  # nobody sees it as it is: programs read it line by line
        self._quiet_when_unread = quiet_when_unread
        self._is_quiet = self.quiet  # unlike one whose reader is gone
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

    def warn(self, text: str) -> None:
        """Print a warning; on standard error if this console was made to be quiet."""
        console = PlainConsole(stderr=True, quiet_when_unread=True) if self._is_quiet else self
        console.say(text, ATTENTION)

    def say_data(self, text: str) -> None:
        """Print output for programs: complete, however long its lines are."""
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
                sys.stderr.write(f"reinforce: {lost}; the run continues silently\n")

    def print_table(self, table: Table) -> None:
        """Print a table, outside of a terminal without the blanks that fill its last column."""
        if self.is_terminal:
            self.print(table)
            return
        with self.capture() as captured:
            self.print(table)
        lines = (line.rstrip() for line in captured.get().splitlines())
        self._print_as_it_is("\n".join(lines), None)

    def say_rows(self, rows: Mapping[str, str], whole: Collection[str] = ()) -> None:
        """Print a line per row, its name first.

        Args:
            rows: Texts by name.
            whole: Names of the rows that are not broken: a path, a hash or a command.
        """
        for name, text in rows.items():
            line = f"{name:<12}{text}"
            if name not in whole:
                self.say_words(line, 12)
            elif self.is_terminal and cell_len(line) > self.width:
                self.say(f"{name}\n{text}")
            else:
                self.say(line)

    def say_words(self, text: str, indent: int) -> None:
        """Print a line, in a terminal broken between words; further lines are indented."""
        if self.is_terminal:
            text = textwrap.fill(
                text,
                self.width,
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        self.say(text)

    @contextmanager
    def showing_wait(self, text: str) -> Iterator[None]:
        """Context in which this console's only spinner shows a text, beside those of others."""
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
        """Context for starting or stopping another live display: rich removes the newest one."""
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
        """Fall silent, or end the command, after the output is lost."""
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
    """Context in which a run reports progress, as text or as JSON.

    With JSON, what environments print in this process goes to standard error.
    """
    if log_format == "text":
        yield PlainConsole(quiet_when_unread=True)
        return
    console = JsonConsole()
    with redirect_stdout(sys.stderr):
        yield console


def discard_output(stream: IO[str]) -> None:
    """Redirect a broken stream to nowhere, because Python flushes it at exit."""
    with suppress(OSError):  # it is no file of the system
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_notebook() -> bool:
    """Return whether this is a notebook's process: a shell with a kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None
