"""A policy that MLflow keeps as a model: found by its name, and read as data.

A model of MLflow is a program. This one is not run: of its files one is downloaded, a checkpoint.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import Checkpoint, decode
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT
from reinforce.cluster.tracking.store import TrackingStore, explain_error, reading
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.regular_files import read_regular_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

BUNDLE = "bundle"
"""Folder among a model's artifacts that holds the policy as `reinforce export` writes it."""

_NAME = re.compile(
    r"models:/(?P<model_id>m-\w+)"
    r"|models:/(?P<name>[^/@'\"]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))"
    r"|runs:/(?P<run_id>\w+)/(?P<model>[^/]+)"
)


def load_model_checkpoint(uri: str, config: TrackingConfig) -> tuple[str, Checkpoint]:
    """Return the policy of a model, and a name that always means this version of it.

    Args:
        uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``models:/NAME/latest``,
            ``models:/m-ID``, or ``runs:/RUN_ID/best`` (or ``last``, or the name of a model of that
            run).
        config: Which store; without an address that of the environment, where
            ``mlflow.set_tracking_uri`` puts its own, too.

    Raises:
        UsageError: There is no such model, it holds no policy, or the store cannot be read.
        CorruptCheckpointError: It is torn, or was altered.
        OSError: It cannot be read.
    """
    store = TrackingStore.of(config, Path.cwd())
    with reading(store) as client:
        canonical, model = _find(client, uri)
    with tempfile.TemporaryDirectory() as folder:
        from mlflow.artifacts import download_artifacts, list_artifacts

        bundle = f"{model.artifact_location}/artifacts/{BUNDLE}"
        place, limit = f"{bundle}/{PORTABLE_CHECKPOINT}", psutil.virtual_memory().total // 2
        try:
            files = list_artifacts(bundle, tracking_uri=store.uri)
            sizes = {Path(each.path).name: each.file_size or 0 for each in files}
            is_small = sizes.get(PORTABLE_CHECKPOINT, 0) <= limit  # of what is not there, below
            file = is_small and download_artifacts(place, dst_path=folder, tracking_uri=store.uri)
        except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
            raise UsageError(
                f"it holds no policy that can be read ({explain_error(error, store)}); runs of "
                "this version of reinforce log models that do"
            ) from None
        if not file:
            raise UsageError(f"its policy is larger than {limit:,} bytes")
        content = read_regular_file(Path(file), limit, follow_links=False)
    return canonical, decode(content, uri)


def _find(client: "MlflowClient", uri: str) -> tuple[str, "LoggedModel"]:
    found = _NAME.fullmatch(uri)
    if found is None:
        raise UsageError(
            "give models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/m-ID or "
            "runs:/RUN_ID/best"
        )
    if found["model_id"]:
        with _missing(f"no model {found['model_id']}"):
            return uri, client.get_logged_model(found["model_id"])
    if found["run_id"]:
        return _find_in_run(client, found["run_id"], found["model"])
    version = _find_version(client, found["name"], found["alias"], found["version"])
    model_id = version.model_id or str(version.source).removeprefix("models:/")
    with _missing(f"version {version.version} of {found['name']!r}, but no longer its model"):
        model = client.get_logged_model(model_id)
    return f"models:/{version.name}/{version.version}", model


def _find_version(
    client: "MlflowClient", name: str, alias: str | None, number: str | None
) -> "ModelVersion":
    """Return the version of a registered model that has an alias or a number, or the latest."""
    versions = {
        str(version.version): version
        for version in client.search_model_versions(f"name = '{name}'")
    }
    if not versions:
        names = (repr(model.name) for model in client.search_registered_models())
        raise UsageError(
            f"there is no registered model {name!r} with a version; there are: "
            f"{', '.join(names) or 'none'}"
        )
    if number == "latest":
        return versions[max(versions, key=int)]
    if alias:
        aliases = client.get_registered_model(name).aliases
        if alias not in aliases:
            there = ", ".join(map(repr, aliases)) or "none"
            raise UsageError(f"the model {name!r} has no alias {alias!r}; there are: {there}")
        number = str(aliases[alias])
    if number not in versions:
        there = ", ".join(sorted(versions, key=int))
        raise UsageError(f"the model {name!r} has no version {number}; there are: {there}")
    return versions[number]


def _find_in_run(client: "MlflowClient", run_id: str, name: str) -> tuple[str, "LoggedModel"]:
    with _missing(f"no run {run_id}"):
        run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    for model in models:
        if name in (model.name, model.tags.get("kind")):
            return f"runs:/{run_id}/{model.name}", model
    there = ", ".join(repr(model.name) for model in models) or "none"
    raise UsageError(f"the run has no model {name!r}; there are: {there}")


@contextmanager
def _missing(what: str) -> Iterator[None]:
    """Context in which a store that lacks something is reported as ``what``."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UsageError(f"the store has {what}") from None
