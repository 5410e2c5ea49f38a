"""Files: atomic writes, locks, and reading while another process appends.

Files opened for writing are never symbolic links: in a folder that others can write to, a link
could point at any file of the user.
"""

import errno
import fcntl
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.regular_files import (
    IrregularFileError,
    open_regular_file,
    read_regular_file,
)

Value = TypeVar("Value")

_POLL_S = 0.05

_MAX_JSON = 2**20
"""Largest file with a single mapping, in bytes."""

_MAX_LINE = 2**26
"""Longest line in bytes: an update of three million episodes."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, even if the machine crashes."""
    temporary = temporary_name(path)
    temporary.unlink(missing_ok=True)  # what a crash has left
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def temporary_name(path: Path) -> Path:
    """Return the temporary path of a file before it gets its name."""
    return path.with_name(path.name + ".tmp")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a mapping as JSON, atomically."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def load_json(path: Path, kind: type[Value]) -> Value:
    """Return the content of a JSON file.

    Raises:
        FileNotFoundError: The file does not exist.
        IrregularFileError: It is a link, not a file, or larger than any mapping.
        ValueError: It is not JSON, or has the wrong type.
    """
    return parse_json(read_regular_file(path, _MAX_JSON, follow_links=False), kind)


@overload
def read_json(path: Path) -> dict[str, Any] | None: ...


@overload
def read_json(path: Path, kind: type[Value]) -> Value | None: ...


def read_json(path: Path, kind: Any = dict[str, Any]) -> Any:
    """Return the content of a JSON file, or None if it is missing or has the wrong type.

    Such files are written whole, and their content can be found elsewhere, so a broken or replaced
    one just counts as missing.
    """
    try:
        return load_json(path, kind)
    except (FileNotFoundError, IrregularFileError, ValueError):
        return None


def open_for_appending(path: Path, *, create: bool = True, mode: int = 0o666) -> io.FileIO:
    """Open a file for appending; create it if it is missing.

    Raises:
        FileNotFoundError: It is missing and must not be created.
        RunDirectoryError: It is a symbolic link.
        OSError: It cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | (os.O_CREAT if create else 0), mode)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RunDirectoryError(f"{path} is a symbolic link, which is not followed") from None
    return io.FileIO(descriptor, "a")


def append_json_line(path: Path, values: dict[str, Any]) -> None:
    """Append a mapping as one line of JSON."""
    with open_for_appending(path) as file:
        file.write((json.dumps(values) + "\n").encode())


def open_locked(
    path: Path, timeout_s: float = 0.0, *, create: bool = True, mode: int = 0o666
) -> io.FileIO:
    """Open a file for appending and hold its lock until it is closed.

    Whoever may read a file can hold its lock, so pure lock files get mode 0600.

    Raises:
        BlockingIOError: Another process still holds the lock after ``timeout_s``.
        OSError: As for ``open_for_appending``.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        file = open_for_appending(path, create=create, mode=mode)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()  # it is locked, or was replaced just now
        if time.monotonic() >= deadline_s:
            raise BlockingIOError(f"{path} is locked by another process")
        time.sleep(_POLL_S)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file; a missing file is not locked."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class LineReader:
    """Reads complete lines, each once, as another process appends them.

    The file stays open: if another file replaces it, this still reads the old one.

    Raises:
        IrregularFileError: It is not a file of lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._position = 0

    def new_lines(self) -> Iterator[bytes]:
        """Yield the lines appended since the last call; none while the file does not exist."""
        if self._file is None:
            try:
                self._file = open_regular_file(self._path, follow_links=False)
            except FileNotFoundError:
                return
        self._file.seek(self._position)
        while line := self._file.readline(_MAX_LINE):
            if len(line) == _MAX_LINE:
                raise IrregularFileError("it contains an endless line", self._path)
            if not line.endswith(b"\n"):  # torn, or being written at this moment
                return
            self._position += len(line)
            yield line

    def is_replaced(self) -> bool:
        """Return whether another file has replaced the one being read."""
        if self._file is None:
            return False
        return os.fstat(self._file.fileno()).st_ino != self._path.stat().st_ino

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file up to a torn one; none if the file does not exist."""
    with closing(LineReader(path)) as reader:
        yield from reader.new_lines()


def last_lines(path: Path, num_bytes: int) -> list[bytes]:
    """Return the complete lines within the last bytes of a file; none if it does not exist.

    Raises:
        IrregularFileError: It is not a regular file.
    """
    try:
        file = open_regular_file(path, follow_links=False)
    except FileNotFoundError:
        return []
    with file:
        start = max(0, file.seek(0, os.SEEK_END) - num_bytes)
        file.seek(start)
        lines = file.read(num_bytes).split(b"\n")
    return lines[1 if start else 0 : -1]  # the outer ones are cut off, torn or empty
