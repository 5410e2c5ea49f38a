"""The journal: ``metrics.jsonl``, a write-ahead log of every update and every evaluation."""

import errno
import fcntl
import io
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from cluster.errors import RunDirectoryError, StorageError
from cluster.records.record import Record
from cluster.records.run_directory import is_locked, write_atomically

_LOCK_PATIENCE_S = 1.0
"""Others look for a moment whether the journal is locked."""


class Journal:
    """Appends records; a line is in the hands of the operating system when ``append`` returns.

    It is locked as long as it is open: a run has one driver.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal of a run.

        Raises:
            RunDirectoryError: Another process writes it.
        """
        self._path = path
        self._failure: StorageError | None = None
        self._file = _open_locked(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def cut_back(self, updates: int) -> bool:
        """Remove what was recorded after this many updates, and a torn last line.

        Returns:
            Whether the record of that update is there, so that what is kept has no gap.
        """
        kept: list[bytes] = []
        is_there = updates == 0
        with self._path.open("rb") as file:
            for line in file if updates else ():
                if not line.endswith(b"\n"):
                    break
                record = Record.parse(line)
                if record.updates > updates:
                    break
                kept.append(line)
                if record.updates == updates and record.batch:
                    is_there = True
                    break
        content = b"".join(kept)
        if len(content) < os.fstat(self._file.fileno()).st_size:
            self._replace_by(content)
        return is_there

    def _replace_by(self, content: bytes) -> None:
        """Put a new file in place of the old one, which a follower may still be reading."""
        temporary = self._path.with_name(self._path.name + ".tmp")
        try:
            write_atomically(temporary, content)
        except OSError as error:
            raise self._cannot_write(error) from error
        file = _open_locked(temporary)
        temporary.replace(self._path)
        self._file.close()
        self._file = file

    def append(self, record: Record) -> None:
        """Write one record.

        Raises:
            StorageError: The disk does not take it.
        """
        line, end = record.line().encode(), os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
        except OSError as error:
            raise self._cannot_write(error) from error
        if written < len(line):  # the disk filled up in the middle of it
            self._file.truncate(end)
            raise self._cannot_write(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def flush_to_disk(self) -> None:
        """Have the records survive a crash of the machine.

        Raises:
            StorageError: The disk does not take them, or did not take one before.
        """
        if self._failure:
            raise self._failure
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> StorageError:
        self._failure = StorageError(
            f"cannot write to {self._path}: {error.strerror}; make room and "
            f"`reinforce resume {self._path.parent}`"
        )
        return self._failure


def _open_locked(path: Path) -> io.FileIO:
    """Open a file for appending, as the only one who does.

    Raises:
        RunDirectoryError: Another process has it open.
    """
    deadline_s = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        file = path.open("ab", buffering=0)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()  # it is locked, or was replaced just now
        if time.monotonic() > deadline_s:
            raise RunDirectoryError(f"{path.parent} is in use: another process trains it")
        time.sleep(0.05)


def is_being_written(path: Path) -> bool:
    """Return whether a process has this journal open for writing: whether the run is going on."""
    return is_locked(path)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a journal, also of one that is being written."""
    if not path.exists():
        return
    with path.open("rb") as journal:
        for line in journal:
            if not line.endswith(b"\n"):  # being written at this moment
                return
            yield Record.parse(line)
