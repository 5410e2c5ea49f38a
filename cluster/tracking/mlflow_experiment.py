"""The experiment that runs belong to, and the making of runs in it: each exactly once."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cluster.tracking.mlflow_run import TrackingStore

_KEY_TAG = "reinforce.key"

_TAGS = {
    "mlflow.note.content": (
        "Runs of `reinforce train`. The x-axis of every metric is the number of environment steps "
        "learned from. Group the runs by the tag `group` to average over seeds; sort them by "
        "`evaluation/return_best`."
    ),
    "mlflow.experiment.primaryMetric.name": "evaluation/return_mean",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    "mlflow.experimentKind": "custom_model_development",
}


def find_or_create_run(
    store: TrackingStore, experiment: str, name: str, started_ms: int, key: str
) -> dict[str, Any]:
    """Make a run in an experiment, which is made if it does not exist; return where it is.

    Args:
        store: Where.
        experiment: Name of the experiment.
        name: Name of the run.
        started_ms: Unix time in milliseconds.
        key: Unique to the run. An attempt whose answer got lost has made it already: it is found.
    """
    with _first_start_lock(store):
        client = store.client()
        experiment_id = _experiment_id(client, store, experiment)
    found = client.search_runs([experiment_id], f"tags.`{_KEY_TAG}` = '{key}'", max_results=1)
    run = found[0] if found else None
    if run is None:
        run = client.create_run(experiment_id, started_ms, {_KEY_TAG: key}, run_name=name)
    return {
        "run_id": run.info.run_id,
        "experiment_id": experiment_id,
        "link": store.link(experiment_id, run.info.run_id),
    }


def _experiment_id(client: MlflowClient, store: TrackingStore, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            made: str = client.create_experiment(name, store.artifact_location, _TAGS)
        except MlflowException:  # somebody else made it since
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
        else:
            return made
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {name!r} is deleted; restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or choose another --tracking.experiment"
        )
    experiment_id: str = found.experiment_id
    return experiment_id


@contextmanager
def _first_start_lock(store: TrackingStore) -> Iterator[None]:
    """Keep two processes from creating the tables of one empty store at the same time."""
    if store.is_server:  # which makes its tables itself
        yield
        return
    name = f"reinforce-mlflow-{os.getuid()}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
