"""Ending this process at once, after ending what must not outlive it."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_SHOW_CURSOR = b"\x1b[?25h"
"""Shows the cursor again, which a panel or spinner has hidden."""

_clean_ups: list[Callable[[], None]] = []
_hurried = threading.Event()


@contextmanager
def cleaned_up_at_a_sudden_end(clean_up: Callable[[], None]) -> Iterator[None]:
    """Context of something that outlives this process unless a quick function is called."""
    _clean_ups.append(clean_up)
    try:
        yield
    finally:
        _clean_ups.remove(clean_up)


def end_at_once(exit_code: int) -> NoReturn:
    """Clean up, and end the process."""
    for clean_up in reversed(_clean_ups):
        clean_up()
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, _SHOW_CURSOR)
    os._exit(exit_code)


def hurry() -> None:
    """End the command as soon as possible, because a signal came."""
    _hurried.set()


def is_in_a_hurry() -> bool:
    """Return whether a signal came."""
    return _hurried.is_set()


def end_if_in_a_hurry(exit_code: int) -> None:
    """End a finished command at once if a signal came or a thread is still running.

    Otherwise Python unloads its libraries one by one, which takes seconds on a busy machine, waits
    for some threads, and crashes under others.
    """
    if not (_clean_ups or is_in_a_hurry()):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    end_at_once(exit_code)
