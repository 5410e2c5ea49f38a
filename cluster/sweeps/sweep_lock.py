"""The lock that keeps a sweep to one process, and shows others that its run in MLflow is alive."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import UsageError
from cluster.records.run_directory import RunDirectory


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold a sweep for this process: before its ledger is read, which mends a line that is torn.

    Raises:
        UsageError: Another process holds it.
    """
    with RunDirectory(folder).tracking_log.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder} is in use: another process runs this sweep") from None
        yield
