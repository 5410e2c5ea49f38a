"""Opening files that may be something else: a pipe, a device, a link, or far too large."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class IrregularFileError(OSError):
    """The path is not a file of a sensible size; ``strerror`` says what it is."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(errno.EINVAL, what, str(path))


def open_regular_file(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        IrregularFileError: It is a pipe, a device, a folder, or a link that must not be followed.
        OSError: It cannot be read.
    """
    # Without O_NONBLOCK, a pipe would wait for somebody to write into it.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    try:
        number = os.open(path, flags)
    except ValueError:  # a character that no path can hold
        raise IrregularFileError(os.strerror(errno.EINVAL), path) from None
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise IrregularFileError("it is a symbolic link", path) from None
        if error.errno == errno.ENXIO:  # a socket
            raise IrregularFileError("it is not a regular file", path) from None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise IrregularFileError("it is not a regular file", path)
    return open(number, "rb")  # noqa: PTH123  (handed over to the caller)


def read_regular_file(path: Path, max_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return the content of a file.

    Raises:
        IrregularFileError: As ``open_regular_file``, or it is larger than ``max_bytes``.
        OSError: It cannot be read.
    """
    with open_regular_file(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise IrregularFileError(f"it is larger than {max_bytes:,} bytes", path)
        return file.read(size)
