"""The experiment of a run, and the run itself, where the environment names them as for MLflow."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reinforce.cluster.run_store.tracking_state import has_row
from reinforce.cluster.tracking.store import TrackingStore
from reinforce.cluster.tracking.views import RUNS, runs_view, tag_of_view
from reinforce.configs.execution import TrackingConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_DEFAULT_NAME = "reinforce"

_RUNS = "SELECT 1 FROM runs WHERE run_uuid = ?"
_EXPERIMENTS = "SELECT 1 FROM experiments WHERE name = ?"
_EXPERIMENT_OF_ID = "SELECT 1 FROM experiments WHERE experiment_id = ?"
"""Questions to an MLflow store in SQLite."""

_EXPERIMENT_TAGS = {
    "mlflow.note.content": (
        "Runs of `reinforce train`. The x-axis of every metric is the number of environment steps "
        "learned from. Group the runs by the tag `group` to average over seeds. The menu **Views** "
        f"has columns and charts for them, as `{RUNS}`, and one view per sweep."
    ),
    "mlflow.experiment.primaryMetric.name": "evaluation/return_mean",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    "mlflow.experimentKind": "custom_model_development",
    tag_of_view(RUNS): runs_view(),
}


def overruled(config: TrackingConfig, run_id: str | None) -> Iterator[str]:
    """Yield a sentence on each variable of MLflow's that has no effect, since others say more.

    ``run_id`` is that of the MLflow run to go on with, if there is one.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if config.uri and uri and uri != config.uri:
        yield f"tracking.uri = {config.uri!r} counts, and not MLFLOW_TRACKING_URI"
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if config.experiment and name and name != config.experiment:
        yield (
            f"tracking.experiment = {config.experiment!r} counts, and not MLFLOW_EXPERIMENT_NAME = "
            f"{name!r}"
        )
    elif config.experiment and not name and os.environ.get("MLFLOW_EXPERIMENT_ID"):
        yield f"tracking.experiment = {config.experiment!r} counts, and not MLFLOW_EXPERIMENT_ID"
    given = os.environ.get("MLFLOW_RUN_ID")
    if given and run_id and run_id != given:
        yield f"the run continues as {run_id} in MLflow, and MLFLOW_RUN_ID has no effect"
    elif given and not run_id and _id_of("MLFLOW_RUN_ID", config) is None:
        yield "MLFLOW_RUN_ID has no effect, since tracking.uri or tracking.experiment is set"


def missing(config: TrackingConfig, run_id: str | None) -> Iterator[str]:
    """Yield a sentence on what the environment names and a store that is a file does not have.

    Other stores would have to be asked by MLflow, which takes seconds. ``run_id`` as above.
    """
    file = TrackingStore.of(config, Path.cwd()).sqlite_file
    if file is None or run_id:
        return
    name, experiment_id = _name_of(config), _id_of("MLFLOW_EXPERIMENT_ID", config)
    given = _id_of("MLFLOW_RUN_ID", config)
    if given:
        if not has_row(file, f"{_RUNS} AND lifecycle_stage = 'active'", given):
            yield _no_run(given)
    elif name and has_row(file, f"{_EXPERIMENTS} AND lifecycle_stage = 'deleted'", name):
        yield f"the experiment {name!r} is deleted; restore it, or choose another name"
    elif name and experiment_id:
        if not has_row(file, f"{_EXPERIMENTS} AND experiment_id = ?", name, experiment_id):
            yield _another_experiment(name, experiment_id)
    # MLflow makes the first one, 0, together with the store.
    elif experiment_id not in (None, "0") and not has_row(file, _EXPERIMENT_OF_ID, experiment_id):
        yield (
            f"MLFLOW_EXPERIMENT_ID = {experiment_id!r}: {file} has no such experiment; correct or "
            "unset it"
        )


def _no_run(run_id: str) -> str:
    return (
        f"MLFLOW_RUN_ID names {run_id!r}, and the store has no such run that is not deleted; "
        "unset it, and the run gets one of its own"
    )


def _another_experiment(name: str, experiment_id: str) -> str:
    return (
        f"MLFLOW_EXPERIMENT_NAME = {name!r} and MLFLOW_EXPERIMENT_ID = {experiment_id!r} are "
        "different experiments; unset one of them"
    )


def given_run(client: "MlflowClient", config: TrackingConfig) -> "Run | None":
    """Return the run that the environment names, as MLflow Projects do for what they start.

    Raises:
        MlflowException: The store does not have it, or it is deleted.
    """
    from mlflow.exceptions import MlflowException

    run_id = _id_of("MLFLOW_RUN_ID", config)
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        run = None
    if run is None or run.info.lifecycle_stage != "active":
        raise MlflowException(_no_run(run_id))
    return run


def find_experiment(client: "MlflowClient", config: TrackingConfig) -> "Experiment | None":
    """Return the experiment of new runs, if it exists.

    It is the one that the configuration names, or else ``MLFLOW_EXPERIMENT_NAME``, or
    ``MLFLOW_EXPERIMENT_ID``, as in MLflow itself; or else "reinforce".

    Raises:
        MlflowException: There is none of this id, or the store does not answer.
    """
    wanted_id = _id_of("MLFLOW_EXPERIMENT_ID", config)
    if wanted_id and not _name_of(config):
        return client.get_experiment(wanted_id)
    return client.get_experiment_by_name(_name_of(config) or _DEFAULT_NAME)


def find_or_create_experiment(
    client: "MlflowClient", store: TrackingStore, config: TrackingConfig
) -> str:
    """Return the id of the experiment of new runs, which is made if it does not exist.

    Raises:
        MlflowException: It is deleted, the store does not take it, or name and id do not agree.
    """
    from mlflow.exceptions import MlflowException

    found = find_experiment(client, config)
    if found is None:
        name = _name_of(config) or _DEFAULT_NAME
        try:
            made = client.create_experiment(name, store.artifact_location, _EXPERIMENT_TAGS)
            found = client.get_experiment(made)
        except MlflowException:  # somebody else may have made it since
            found = find_experiment(client, config)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {found.name!r} is deleted; restore it with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}`, or choose another "
            "--tracking.experiment"
        )
    wanted_id = _id_of("MLFLOW_EXPERIMENT_ID", config)
    if wanted_id and found.experiment_id != wanted_id:
        raise MlflowException(_another_experiment(found.name, wanted_id))
    if tag_of_view(RUNS) not in found.tags:
        save_view(client, found.experiment_id, RUNS, runs_view())
    return str(found.experiment_id)


def save_view(client: "MlflowClient", experiment_id: str, view_id: str, view: str) -> None:
    """Add a view to the pages of an experiment, unless its tags are not for this user."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        client.set_experiment_tag(experiment_id, tag_of_view(view_id), view)


def tag_experiment(store: TrackingStore, config: TrackingConfig, key: str, value: str) -> None:
    """Set a tag of an experiment: a store that takes it will take a run."""
    client = store.client()
    client.set_experiment_tag(find_or_create_experiment(client, store, config), key, value)


def _name_of(config: TrackingConfig) -> str | None:
    return config.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or None


def _id_of(variable: str, config: TrackingConfig) -> str | None:
    """Return an id that a variable names in the store in use; the configuration may say other."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    is_elsewhere = config.uri is not None and config.uri != uri
    return None if is_elsewhere or config.experiment else os.environ.get(variable) or None
