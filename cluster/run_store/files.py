"""The tail of a file that another process appends to, line by line."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class LineTail:
    """Reads whole lines, each once, as they are appended.

    The file stays open: if another is put in its place, this one goes on with the old.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._position = 0

    def new_lines(self) -> Iterator[bytes]:
        """Yield what was appended since the last call; nothing while the file does not exist."""
        if self._file is None:
            if not self._path.exists():
                return
            self._file = self._path.open("rb")
        self._file.seek(self._position)
        for line in self._file:
            if not line.endswith(b"\n"):  # being written at this moment
                return
            self._position += len(line)
            yield line

    def is_replaced(self) -> bool:
        """Return whether another file has taken the place of the one that is read."""
        if self._file is None:
            return False
        return os.fstat(self._file.fileno()).st_ino != self._path.stat().st_ino

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
