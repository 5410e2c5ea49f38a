"""Runs that MLflow shows as running although nobody trains or sends them any more."""

import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reinforce.cluster.run_store.files import read_json
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory, is_followed
from reinforce.cluster.tracking.mlflow_run import INCOMPLETE_TAG
from reinforce.cluster.tracking.run_description import status_of
from reinforce.cluster.tracking.store import TrackingStore


def close_stale_runs(store: TrackingStore, state: Mapping[str, Any]) -> None:
    """Give a status to the running runs of this host that have neither driver nor follower.

    That happens when a machine loses power or a container is killed with everything in it. Runs of
    other hosts, and those whose directory is not here, are left alone: nothing is known of them.

    ``state`` is the ``tracking.json`` of the run that looks, in its own experiment.
    """
    client = store.client()
    host = socket.gethostname()
    for found in client.search_runs(
        [state["experiment_id"]], f"attributes.status = 'RUNNING' and tags.host = '{host}'"
    ):
        tags, run_id = found.data.tags, found.info.run_id
        run = RunDirectory(Path(tags["run_directory"]))
        if run_id == state["run_id"] or _is_alive(run):
            continue
        summary = read_json(run.summary_file)
        client.set_tag(run_id, INCOMPLETE_TAG, _way_on(tags, run))
        client.set_terminated(run_id, status_of(summary), _ended_ms(tags, summary))


def _is_alive(run: RunDirectory) -> bool:
    try:
        # A container may have the name of this host, and its runs lie where only it can see them.
        is_elsewhere = not run.path.exists()
        return is_elsewhere or is_followed(run) or is_being_written(run.journal_file)
    except OSError:  # out of reach for this user: nothing can be known of it
        return True


def _way_on(tags: Mapping[str, str], run: RunDirectory) -> str:
    if tags.get("kind") == "sweep":
        return "`reinforce sweep` with the same file goes on"
    return f"`reinforce sync {run.path}` sends the rest"


def _ended_ms(tags: Mapping[str, str], summary: Mapping[str, Any] | None) -> int | None:
    """Return when the run ended, as far as anybody knows; None: now."""
    if summary:
        return int(summary["timestamp_ms"])
    heartbeat = tags.get("heartbeat")
    return int(datetime.fromisoformat(heartbeat).timestamp() * 1000) if heartbeat else None
