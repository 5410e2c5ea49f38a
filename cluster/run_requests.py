"""Requests to a live run: ``reinforce scale``, ``pause``, ``unpause`` and ``stop``.

They are a file in the run directory, so they need no server, work wherever the directory can be
reached, and survive a restart of the run.
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any, Self

from pydantic import Field

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import open_locked, read_json, write_json
from reinforce.cluster.interrupts import Interrupts

MAX_WORKERS = 10_000

_POLL_S = 0.5
_LOCK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class RunRequests:
    """The requests to a run.

    Attributes:
        num_workers: Number of workers from now on; None: as configured.
        paused: Whether to wait after the update in progress.
        stop: Whether to end after a checkpoint; the run that obeys removes it.
    """

    num_workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | None = None
    paused: bool = False
    stop: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the requests in a file; none if it is missing, torn or nonsense."""
        try:
            return read_json(path, cls) or cls()
        except OSError:  # its disk is away
            return cls()

    @classmethod
    def change(cls, path: Path, **changes: Any) -> None:
        """Change some requests and keep the others, even if several change at the same moment.

        Raises:
            BlockingIOError, RunDirectoryError: Another process holds the file, or it is a link.
        """
        with open_locked(path, _LOCK_TIMEOUT_S):
            write_json(path, asdict(replace(cls.read(path), **changes)))

    @classmethod
    def take_back_stop(cls, path: Path) -> None:
        """Remove a request to stop, or the next start would end, too; an unreachable file stays."""
        with suppress(OSError, RunDirectoryError):
            if cls.read(path).stop:
                cls.change(path, stop=False)


class RequestsReader:
    """Reads the requests again every half second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at_s = time.monotonic()
        self._requests = RunRequests.read(path)

    @property
    def current(self) -> RunRequests:
        """The current requests."""
        now_s = time.monotonic()
        if now_s - self._read_at_s >= _POLL_S:
            self._read_at_s = now_s
            self._requests = RunRequests.read(self._path)
        return self._requests


class StopWatch:
    """Context in which a request to stop acts exactly as SIGTERM does.

    Args:
        path: The file with the requests.
        interrupts: The run's interrupts, which outlive this context.
        tell: Called with a message when the request comes.
    """

    def __init__(self, path: Path, interrupts: Interrupts, tell: Callable[[str], None]) -> None:
        self._path, self._interrupts, self._tell = path, interrupts, tell
        self._is_over = Event()
        self._thread = Thread(target=self._watch, name="stop-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_POLL_S):
            if RunRequests.read(self._path).stop:
                self._tell("stopping, as requested by `reinforce stop`")
                RunRequests.take_back_stop(self._path)
                self._interrupts.request(signal.SIGTERM)
                return
