"""Makes a SQLite store whole, without waiting for the disk after each of a thousand commits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reinforce.cluster.tracking.store import TrackingStore


def make_store(file: Path) -> None:
    """Make a store with MLflow's tables where there is no file; nobody else of us may do so now.

    It gets its name when it is complete: whatever ends this process leaves no half-made store.
    """
    if file.exists():
        return
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed
    try:
        with _unsynced():
            TrackingStore.in_file(new, is_default=False).client()
        with new.open("rb") as made:
            os.fsync(made.fileno())
        _publish(new, file)
    finally:
        new.unlink(missing_ok=True)


def _publish(new: Path, file: Path) -> None:
    """Name a new store, unless another program, such as ``mlflow ui``, has made one meanwhile."""
    try:
        os.link(new, file)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        new.rename(file)


@contextmanager
def _unsynced() -> Iterator[None]:
    """Context in which new connections of SQLAlchemy leave writing to the system."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
