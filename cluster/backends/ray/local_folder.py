"""The folder of a local Ray, inside one that only its user may enter.

Ray lets everybody write into the folder that it is given, and keeps its sockets, logs and lists of
processes there (docs/decisions/0082-a-private-folder-for-ray.md). A lock tells that a folder is in
use: it is seen across containers that share the place, and goes with the process that holds it.
"""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from reinforce.cluster.errors import LocalRayError, RunDirectoryError
from reinforce.cluster.files import open_locked

_PREFIX = "reinforce-"
_LOCK = "lock"
_MAX_PARENT_BYTES = 22
"""Length of the path above the folder: the address of a Unix socket has at most 107 bytes, of which
we and Ray take up to 85."""

_CHECK_EVERY_S = 1.0

_LEAST_FREE_BYTES = 1 << 20
"""For sockets, addresses and the first lines of logs; without it, Ray waits for its own files."""

_REMOVALS = 10
_BETWEEN_REMOVALS_S = 0.05
"""Processes that are being killed may still write while their folder is removed."""


class LocalFolder:
    """A folder for the files of one Ray; whoever made it holds its lock.

    Attributes:
        path: What Ray is given.
        parent: The place for temporary files that it lies in.
    """

    def __init__(self, private: Path) -> None:
        self._private, self.parent = private, private.parent
        self.path = private / "r"
        self.path.mkdir()
        self._inode = _inode(self.path)
        self._sockets: dict[Path, int | None] = {}
        self._checked_at_s = 0.0

    def watch(self) -> None:
        """Note the sockets that there are, now that Ray is up."""
        self._sockets = {path: _inode(path) for path in self.path.glob("session_latest/sockets/*")}

    def check(self) -> None:
        """Look, about once a second, whether everything is where Ray put it.

        Raises:
            LocalRayError: Somebody removed, renamed or replaced a part of it. Ray itself would
                wait without a word.
        """
        now_s = time.monotonic()
        if now_s - self._checked_at_s < _CHECK_EVERY_S:
            return
        self._checked_at_s = now_s
        for path, inode in {self.path: self._inode, **self._sockets}.items():
            if _inode(path) != inode:
                gone = self._private if not self._private.exists() else path
                raise LocalRayError(
                    f"{gone} was removed or replaced while Ray was using it. Keep whatever cleans "
                    f"{self._private.parent} away from it, or set TMPDIR to a folder that is yours "
                    "alone, and `reinforce resume` the run"
                )

    def remove(self) -> None:
        """Remove it with everything in it."""
        for _ in range(_REMOVALS):
            shutil.rmtree(self._private, ignore_errors=True)
            if not self._private.exists():
                return
            time.sleep(_BETWEEN_REMOVALS_S)


@contextmanager
def local_folder(tell: Callable[[str], None]) -> Iterator[LocalFolder]:
    """Yield a folder and remove it at the end, along with those whose owners are dead.

    Args:
        tell: Called with a sentence if the folder does not lie where TMPDIR says.

    Raises:
        LocalRayError: There is no place for it that has room and that other users cannot tamper
            with.
    """
    parent = _place()
    _remove_stale(parent)
    require_disk_room(parent)
    private = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))  # mode 0700, a random name
    with closing(open_locked(private / _LOCK)):
        folder = LocalFolder(private)
        fault = _fault_of_tmpdir()
        if parent != Path(tempfile.gettempdir()):
            fault = (
                f"{tempfile.gettempdir()} is too long for Ray's sockets, or others may rename "
                "files in it"
            )
        if fault:
            tell(f"{fault}; Ray's files are in {private}")
        try:
            yield folder
        finally:
            folder.remove()


def require_disk_room(folder: Path) -> None:
    """Raise if the disk is full on which Ray has, or would have, its files.

    Raises:
        LocalRayError: It is. Ray itself gives another reason after half a minute.
    """
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE_BYTES:
        raise LocalRayError(
            f"{folder} is full ({free >> 10} KiB are free), and a local Ray has its files there: "
            "make room, set TMPDIR to another folder, or use --cluster.backend inline to train "
            "without Ray"
        )


def _place() -> Path:
    """Return the folder for temporary files, or /tmp if its path is too long for Ray's sockets."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # none can be written, which it has tried
        raise LocalRayError(f"a local Ray needs a folder for its files: {error.strerror}") from None
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108
        if len(os.fsencode(place)) <= _MAX_PARENT_BYTES and _others_cannot_rename_in(place):
            return Path(place)
    raise LocalRayError(
        f"Ray needs a folder whose path has at most {_MAX_PARENT_BYTES} bytes and in which other "
        f"users can neither remove nor rename your files; neither TMPDIR ({tempfile.gettempdir()}) "
        "nor /tmp is one. Set TMPDIR, or use cluster.backend inline to train without Ray"
    )


def _fault_of_tmpdir() -> str:
    """Return why Python has passed over the folder that TMPDIR names; empty if it has not."""
    wanted = os.environ.get("TMPDIR")
    if not wanted or Path(wanted).absolute() == Path(tempfile.gettempdir()):
        return ""
    try:
        with tempfile.TemporaryFile(dir=wanted, buffering=0) as file:
            file.write(b"x")
    except OSError as error:
        return f"TMPDIR={wanted} cannot be used ({error.strerror})"
    return ""


def _others_cannot_rename_in(place: str) -> bool:
    found = Path(place).stat()
    is_shared = bool(found.st_mode & 0o022) and not found.st_mode & stat.S_ISVTX
    return found.st_uid in (0, os.geteuid()) and not is_shared


def _remove_stale(parent: Path) -> None:
    """Remove our folders whose lock nobody holds; a folder without a lock is none of ours."""
    for private in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, RunDirectoryError):  # somebody else's, in use, or gone by now
            found = private.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                if {path.name for path in private.iterdir()} - {_LOCK, "r"}:
                    continue  # it is something else
                lock = private / _LOCK
                with closing(open_locked(lock, create=False)):
                    shutil.rmtree(private, ignore_errors=True)


def _inode(path: Path) -> int | None:
    """Return what a path leads to, or None if it leads nowhere."""
    with suppress(OSError):
        return path.stat().st_ino
    return None
