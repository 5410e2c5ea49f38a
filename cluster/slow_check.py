"""A word to whoever waits for a check of the environment that takes long, or for ever."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console

_PATIENCE_S = 15.0
"""Longer than any check takes whose environment answers at once."""


@contextmanager
def told_if_slow(
    console: Console, environment_id: str, patience_s: float = _PATIENCE_S
) -> Iterator[None]:
    """Say once, if what happens in this context takes long, what it waits for and what to do."""
    text = (
        f"still trying environment.id = {environment_id!r} after {patience_s:g} s: if its "
        "constructor, reset or step hangs, Ctrl-C ends this"
    )
    timer = Timer(
        patience_s, console.print, (text,), {"style": "yellow", "highlight": False, "markup": False}
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
