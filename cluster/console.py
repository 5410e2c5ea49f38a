"""Where everything is printed: as it is written, whatever rich would make of it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console


class PlainConsole(Console):
    """Standard output. What stands between two colons is no picture: users' texts are shown as is.

    Args:
        quiet_when_unread: Go on in silence when the reader of a pipe has gone, as a run should.
        options: As rich has them.
    """

    def __init__(self, *, quiet_when_unread: bool = False, **options: Any) -> None:
        super().__init__(emoji=False, **options)
        self._quiet_when_unread = quiet_when_unread

    def say(self, text: str, style: str | None = None) -> None:
        """Print a text without wrapping, highlighting or markup."""
        self.print(text, style=style, highlight=False, soft_wrap=True, markup=False)

    def say_rows(self, rows: Mapping[str, str]) -> None:
        """Print a line per row, its name first."""
        for name, text in rows.items():
            self.say(f"{name:<12}{text}")

    def on_broken_pipe(self) -> None:
        """Say no more, or let the command line end as a reader of a pipe wants it."""
        if self._quiet_when_unread:
            self.quiet = True
        else:
            raise BrokenPipeError
