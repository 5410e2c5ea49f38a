"""Which store of MLflow a run is in: the one that has it, wherever its folder was moved to."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory, is_followed
from reinforce.cluster.run_store.tracking_state import find_sqlite_file, read_tracking_state
from reinforce.cluster.tracking.store import TrackingStore
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.quoting import command_line


def store_of_run(
    run: RunDirectory, config: TrackingConfig, state: Mapping[str, Any]
) -> TrackingStore:
    """Return the store that a run is in, or is to be sent to, by its ``tracking.json``.

    A store that should have the run is never made.

    Raises:
        UsageError: The environment names another one, or none has the run.
    """
    named = TrackingStore.of(config, Path.cwd())
    is_sent = "run_id" in state
    if is_sent and state.get("is_server"):
        _require_server(named, state)
        return named
    file = named.sqlite_file
    if file is None:
        if is_sent and state.get("is_default_store", True):
            raise _misled(run, named, config, find_sqlite_file(run.path, None, state), state)
        return named
    found = find_sqlite_file(run.path, None if named.is_default else named.uri, state)
    if found == file:
        return named
    if found is None or (not named.is_default and file.exists()):
        found = found or find_sqlite_file(run.path, None, state)
        raise _misled(run, named, config, found, state)
    return TrackingStore.in_file(found.absolute(), is_default=named.is_default)


def state_at(run: RunDirectory, config: TrackingConfig) -> dict[str, Any]:
    """Return the run's ``tracking.json`` for another ``tracking.uri``; nothing is written.

    Raises:
        UsageError: A process still sends the run, or it is in a store that is not at this address.
    """
    if is_followed(run):
        raise UsageError(
            f"{run.path} is still being sent to the address that it was started with, which ends "
            "by itself, even if nobody answers there; give it another one after that"
        )
    state, store = read_tracking_state(run.tracking_file), TrackingStore.of(config, Path.cwd())
    at_server = "run_id" in state and state.get("is_server")
    if at_server and state.get("kind", "https").startswith("http"):
        if not store.is_http:
            raise UsageError(
                f"{run.path} is at {state['link'].partition('/#/')[0]}, a server: its other "
                f"address begins with http, unlike tracking.uri = {config.uri!r}"
            )
        state = {**state, "link": store.link(state["experiment_id"], state["run_id"])}
    store_of_run(run, config, state)
    return state


def _require_server(named: TrackingStore, state: Mapping[str, Any]) -> None:
    """Raise UsageError if a run that is at a server is looked for elsewhere."""
    kind, link = state.get("kind", "https"), state.get("link", "")
    if not kind.startswith("http"):
        if named.kind != kind:
            raise UsageError(
                f"this run is in a store of MLflow whose address begins with {kind!r}; set "
                "MLFLOW_TRACKING_URI to it"
            )
    elif not (named.is_http and link.startswith(f"{named.ui}/#/")):
        raise UsageError(
            f"this run is at {link.partition('/#/')[0]}; set MLFLOW_TRACKING_URI to its address, "
            "or, if the server has moved, `reinforce sync RUN_DIR --uri URL`"
        )


def _misled(
    run: RunDirectory,
    named: TrackingStore,
    config: TrackingConfig,
    found: Path | None,
    state: Mapping[str, Any],
) -> UsageError:
    """Return the error of a run that is not where it is looked for, with the way out."""
    if found:
        name = "tracking.uri" if config.uri else "MLFLOW_TRACKING_URI"
        return UsageError(
            f"this run is in the store {found}, and {name} names another one: "
            f"{_way_to(found, named, run, config)}"
        )
    file = shlex.quote(str(run.tracking_file))
    where = "this run is in a database"
    if state.get("is_default_store", True):
        folder = Path(state.get("directory") or Path.cwd())
        where = f"this run was in the store {folder / 'mlflow.db'}"
    return UsageError(
        f"{where}, and no store that is named here or lies above the run has it; set "
        "MLFLOW_TRACKING_URI to its address, or send it as a new run: "
        f"`rm {file} && {command_line('sync', run.path)}`"
    )


def _way_to(found: Path, named: TrackingStore, run: RunDirectory, config: TrackingConfig) -> str:
    """Return what to do about a run in another file than named; a run keeps its tracking.uri."""
    uri = TrackingStore.in_file(found.absolute(), is_default=False).uri
    if not config.uri:
        return f"`export MLFLOW_TRACKING_URI={shlex.quote(uri)}`"
    if named.sqlite_file and not named.sqlite_file.exists():
        return f"move it back, `{shlex.join(['mv', str(found), str(named.sqlite_file)])}`"
    return f"`{command_line('sync', run.path, '--uri', uri)}`"
