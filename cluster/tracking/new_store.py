"""Makes a SQLite store whole, without waiting for the disk after each of a thousand commits."""

import os
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
        _make_tables(TrackingStore.in_file(new, is_default=False).uri)
        with new.open("rb") as made:
            os.fsync(made.fileno())
        _publish(new, file)
    finally:
        new.unlink(missing_ok=True)


def _make_tables(uri: str) -> None:
    """Make the tables as MLflow's first client would.

    Not by a client: it would keep its connection, and at the next attempt write to a removed file.
    """
    from mlflow.store.db import utils
    from sqlalchemy import event

    engine = utils.create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    event.listen(engine, "connect", _leave_writing_to_the_system)
    try:
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()


def _leave_writing_to_the_system(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _publish(new: Path, file: Path) -> None:
    """Name a new store, unless another program, such as ``mlflow ui``, has made one meanwhile."""
    try:
        os.link(new, file)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        new.rename(file)
