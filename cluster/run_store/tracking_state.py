"""``tracking.json``: the MLflow run that follows a run directory, and its store."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.submitted_files import submitted_files
from reinforce.cluster.typed_json import Count
from reinforce.configs.quoting import command_line

_DEFAULT_NAME = "mlflow.db"

_LEVELS = 4
"""Levels to search above a run: PROJECT/sweeps/NAME/runs/RUN, with PROJECT/mlflow.db."""

_MAX_INSTRUCTIONS = 1_000_000
"""Limit for SQLite in a file that somebody else may have made; a few hundred are usual."""


class TrackingState(BaseModel, extra="allow"):
    """Types of its keys, each of which may be missing; ``cluster.tracking`` explains them."""

    key: str = ""
    run_directory: str = ""
    directory: str = ""
    run_id: str = ""
    experiment_id: str = ""
    link: str = ""
    kind: str = ""
    is_default_store: bool = True
    is_server: bool = False
    num_refused: Count = 0
    unstored: list[str] = []
    unstored_reason: str = ""


ANSWERS_AGAIN = "MLflow: it answers again"
"""Line in the follower's log after an outage, which an earlier line reported."""


def read_tracking_state(file: Path) -> dict[str, Any]:
    """Return the existing keys; none if the file is missing or broken.

    Also none if it was copied with its directory while the original still exists: two runs must not
    write to one MLflow run.
    """
    state = _read(file)
    if "key" in state and _is_copy(file, state):
        return {}
    return state


def require_run_id(run: RunDirectory) -> str:
    """Return the id of the MLflow run that follows a run directory.

    Raises:
        UsageError: There is none.
    """
    run_id = read_tracking_state(run.tracking_file).get("run_id")
    if not run_id:
        command = command_line("sync", run.path)
        raise UsageError(f"{run.path} is not in MLflow; `{command}` sends it there")
    return str(run_id)


def place_in_words(state: Mapping[str, Any]) -> list[str]:
    """Return lines about where a run is shown; the last one is the address, if known."""
    if not state["link"]:
        return [
            f"MLflow has it as run {state['run_id']}; its pages are where that store shows them"
        ]
    if state.get("is_server"):
        return ["MLflow: open", state["link"]]
    # What a submitted job prints is read in another folder than the job's.
    is_here = False
    with suppress(OSError):  # the current directory is gone
        is_here = not submitted_files() and state.get("directory") == str(Path.cwd())
    command = command_line("ui", *([] if is_here else filter(None, [state.get("run_directory")])))
    return [f"MLflow: run `{command}`, then open", state["link"]]


def loss_in_words(state: Mapping[str, Any], shown: int = 5) -> str:
    """Return a sentence about artifacts that could not be stored; empty if there are none."""
    names = state.get("unstored") or []
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    listed, reason = ", ".join(names[:shown]) + more, state.get("unstored_reason", "")
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} artifact{plural} could not be stored ({listed}): {reason}"


def _read(file: Path) -> dict[str, Any]:
    state = read_json(file, TrackingState)
    return state.model_dump(exclude_unset=True) if state else {}


def _is_copy(file: Path, state: Mapping[str, Any]) -> bool:
    original = Path(state.get("run_directory") or file.parent) / file.name
    with suppress(OSError, ValueError):
        is_other = original.exists() and not original.samefile(file)
        return is_other and _read(original).get("key") == state["key"]
    return False


def sqlite_file(uri: str | None, directory: Path) -> Path | None:
    """Return the SQLite file of a tracking URI, relative to a directory, if it names one.

    Without a URI: the default store of that directory.
    """
    if not uri:
        return directory / _DEFAULT_NAME
    scheme, _, path = uri.partition(":///")
    if scheme.partition("+")[0] != "sqlite":
        return None
    return directory / unquote(path.partition("?")[0])


def find_sqlite_file(run: Path, uri: str | None, state: Mapping[str, Any]) -> Path | None:
    """Return the SQLite file with the MLflow run of a run directory, which may have moved.

    Searches in this order: the one that ``uri`` names, or that of the current directory; one of the
    same name in the directory that ``tracking.json`` names; and those above the run. Creates
    nothing. A run in no store yet belongs in the named one or, without a URI, in that of the
    recorded directory if it still exists.

    Returns:
        None if none of them has the run, or the URI names no file.
    """
    named = sqlite_file(uri, Path.cwd())
    if named is None:
        return None
    recorded = Path(state.get("directory") or Path.cwd()) / named.name
    if "run_id" not in state:
        return recorded if not uri and recorded.parent.is_dir() else named
    above = [folder / named.name for folder in run.resolve().parents[:_LEVELS]]
    query = "SELECT 1 FROM runs WHERE run_uuid = ?"
    files = (named, recorded, *above)
    return next((file for file in files if has_row(file, query, state["run_id"])), None)


def has_tables(file: Path) -> bool:
    """Return whether a SQLite file is an MLflow store, without making it one."""
    return has_row(file, "SELECT 1 FROM alembic_version")


def has_row(file: Path, query: str, *parameters: str) -> bool:
    """Return whether a SQLite file has a row, or may have it because it is locked."""
    try:
        if not file.is_file():
            return False
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as store:
            store.set_progress_handler(lambda: 1, _MAX_INSTRUCTIONS)
            return store.execute(query, parameters).fetchone() is not None
    except sqlite3.Error as error:
        return "locked" in str(error)
    except (OSError, ValueError):
        return False
