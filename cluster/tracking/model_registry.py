"""MLflow's model registry: the best policy of the newest run, under one name and one alias."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from cluster.tracking.mlflow_run import MLflowRun

ALIAS = "champion"


def register(mlflow_run: MLflowRun, name: str, model: LoggedModel) -> None:
    """Make a model a version of a registered one, unless it is, and the newest the champion.

    An old run that is sent again does not take the alias from the version of a newer one.
    """
    client = mlflow_run.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{model.model_id}"
    versions = client.search_model_versions(f"name = '{name}'")
    same = [version for version in versions if version.source == source]
    if same:
        version = same[0]
    else:
        with _default_store(mlflow_run.store.uri):
            version = client.create_model_version(
                name, source, mlflow_run.run_id, model_id=model.model_id
            )
    if int(version.version) >= max((int(each.version) for each in versions), default=0):
        client.set_registered_model_alias(name, ALIAS, version.version)


@contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """Name a store in the environment: there MLflow looks for a version's model, not in ours."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
