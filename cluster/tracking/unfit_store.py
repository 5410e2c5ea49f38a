"""Stores that the installed MLflow cannot read or upgrade: a newer one's, and half-made ones."""

import re
import shlex
import sqlite3
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path

from reinforce.cluster.files import is_locked
from reinforce.cluster.run_store.tracking_state import has_row


def lock_of(file: Path) -> Path:
    """Return the file that whoever makes the tables of a SQLite store locks meanwhile."""
    return file.with_name(f".{file.name}.lock")


def advice_for_half_made_store(file: Path) -> str:
    """Return what to do about a store whose tables were being made when that broke off."""
    if is_locked(lock_of(file)):
        return "another process is making the store now: wait until it is done, and try again"
    if has_row(file, "SELECT 1 FROM runs"):
        return (
            f"an upgrade of {file} broke off, since its disk was full or its process was killed: "
            "put back the copy that was made before"
        )
    aside = shlex.join(["mv", str(file), f"{file}.half-made"])
    return (
        "the store is half made, since its disk was full or its process was killed, and holds no "
        f"run: move it away, `{aside}`, and it is made again"
    )


def advice_for_newer_store(error: str, file: Path | None) -> str:
    """Return which MLflow a store needs whose schema is not the installed one's.

    MLflow calls every other schema out of date, and advises to upgrade the store; one of a version
    that is yet to be installed cannot be.

    Args:
        error: What MLflow says.
        file: The store, if it is a SQLite file.

    Returns:
        Empty if the installed MLflow knows the schema, as one of the past.
    """
    import mlflow.store.db_migrations as migrations

    revision = re.search(r"found version (\w+),", error)
    if revision is None:
        return ""
    versions = Path(str(migrations.__file__)).with_name("versions")
    if any(versions.glob(f"{revision[1]}_*.py")):
        return ""
    wanted = _newest_writer(file) if file else None
    package = f"'mlflow>={wanted}'" if wanted else "mlflow"
    return (
        f"the store was written by a newer MLflow than {metadata.version('mlflow')}, which is "
        f"installed: `pip install --upgrade {package}`"
    )


def _newest_writer(file: Path) -> str | None:
    """Return the newest MLflow that noted itself in a store, if that is newer than ours."""
    versions = [metadata.version("mlflow")]
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store,
    ):
        query = "SELECT DISTINCT value FROM tags WHERE key = 'version.mlflow'"
        versions += [value for (value,) in store.execute(query) if re.fullmatch(r"[\d.]+", value)]
    newest = max(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
    return None if newest == versions[0] else newest
