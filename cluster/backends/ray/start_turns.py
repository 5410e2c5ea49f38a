"""Runs of one user start their Rays in turn: several at once time each other out."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import open_locked

_POLL_S = 0.2
_LONGEST_WAIT_S = 600.0
"""Whoever holds the turn for longer is halted, and no longer waited for."""


@contextmanager
def turn_to_start(
    place: Path, is_unwanted: Callable[[float], bool], tell: Callable[[str], None]
) -> Iterator[None]:
    """Context that one process of this user is in at a time; one that is killed leaves it.

    Args:
        place: Folder of the lock that marks it.
        is_unwanted: Waits so many seconds, or until nobody wants Ray any more, and returns whether
            that is so.
        tell: Called with a sentence if another process is in it.
    """
    path, deadline_s = place / f".reinforce-{os.geteuid()}.lock", time.monotonic() + _LONGEST_WAIT_S
    lock, is_told = None, False
    # A file that is not ours to lock marks nothing: then all start when they like.
    with suppress(OSError, RunDirectoryError):
        while lock is None and time.monotonic() < deadline_s:
            try:
                lock = open_locked(path, mode=0o600)
            except BlockingIOError:
                if not is_told:
                    tell("waiting for another run's Ray to start")
                is_told = True
                if is_unwanted(_POLL_S):
                    break
    try:
        yield
    finally:
        if lock:
            path.unlink(missing_ok=True)
            lock.close()
