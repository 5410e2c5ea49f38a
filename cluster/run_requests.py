"""What users ask of a run that is going on: ``reinforce scale``, ``pause`` and ``unpause``.

Requests are a file in the run directory, so that they need no server, work wherever the directory
can be reached and outlive a restart of the run.
"""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from reinforce.cluster.files import open_locked, read_json, write_json

MAX_WORKERS = 10_000

_POLL_S = 0.5
_LOCK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class RunRequests:
    """What was asked of a run.

    Attributes:
        num_workers: Workers to have from now on; None: as configured.
        paused: Whether to wait after the update in progress.
    """

    num_workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | None = None
    paused: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the requests that a file holds; none if it is missing, torn or nonsense."""
        try:
            return read_json(path, cls) or cls()
        except OSError:  # its disk is away
            return cls()

    @classmethod
    def change(cls, path: Path, **changes: Any) -> None:
        """Ask for something else, and keep what others asked for, also at the same moment.

        Raises:
            BlockingIOError, RunDirectoryError: Another process holds the file, or it is a link.
        """
        with open_locked(path, _LOCK_TIMEOUT_S):
            write_json(path, asdict(replace(cls.read(path), **changes)))


class RequestsReader:
    """Reads the requests again every half second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at_s = time.monotonic()
        self._requests = RunRequests.read(path)

    @property
    def current(self) -> RunRequests:
        """What is asked for at the moment."""
        now_s = time.monotonic()
        if now_s - self._read_at_s >= _POLL_S:
            self._read_at_s = now_s
            self._requests = RunRequests.read(self._path)
        return self._requests
