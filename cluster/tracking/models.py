"""The best and the last policy of a run as models in MLflow, with their metrics."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import mlflow.pyfunc
import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from safetensors.numpy import save_file

from reinforce.cluster.errors import RunDirectoryError, UsageError
from reinforce.cluster.files import whole_lines
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.tracking.mlflow_run import MLflowRun
from reinforce.cluster.tracking.provenance import installed_versions
from reinforce.cluster.tracking.run_description import shown_yaml
from reinforce.cluster.tracking.store import http_status
from reinforce.configs.config import Config
from reinforce.workers.environment import EnvironmentSpec

ALIAS = "champion"

_KINDS = ("best", "last")
_REQUIREMENTS = ("distributed-reinforce", "gymnasium", "mlflow", "numpy", "safetensors")
_DTYPES = {"numbers": "float32", "pixels": "uint8", "categories": "int64"}
_REFUSALS = (400, 403, 404, 405, 413, 422, 501)
"""A store may have metrics and no models or no registry, or not for this user."""


class UnsavablePolicyError(Exception):
    """A policy cannot be made a model: its environment is not known here, for example."""


def log_policies(
    mlflow_run: MLflowRun,
    experiment_id: str,
    run: RunDirectory,
    config: Config,
    tell: Callable[[str], None],
) -> list[str]:
    """Make the best and the last policy models of this run, unless they are; drop earlier ones.

    ``tell`` is called with a sentence if they can be no models at all.

    Returns:
        Why a policy was left out that could have been a model, or was asked for by
        ``tracking.register_as``. What MLflow cannot take at the moment is raised.
    """
    obstacle, name = _obstacle(run, config), config.tracking.register_as
    if obstacle:
        tell(
            f"no policy becomes a model in MLflow: {obstacle}. Nothing is lost: the run directory "
            "holds the policies, for `reinforce evaluate` and the like"
        )
        return [f"tracking.register_as = {name!r}: {obstacle}"] if name else []
    reasons: list[str] = []
    kept: dict[str, LoggedModel] = {}
    # The best, unless nothing was evaluated: one that is torn is not replaced by a far worse one.
    champion = "last"
    with _reported_if_refused("the models", reasons):
        there = _models_of(mlflow_run, experiment_id)
        ready = {model.name: model for model in there if model.status == "READY"}
        policies = _policies_of(run, config, reasons.append)
        champion = next(iter(policies), "last")
        for kind, checkpoint in policies.items():
            with _reported_if_refused(f"the {kind} policy", reasons):
                if checkpoint:
                    kept[kind] = ready.get(_name_of(kind, checkpoint)) or _log(
                        mlflow_run, experiment_id, run, config, kind, checkpoint
                    )
        for model in there:
            # Left behind by an attempt that failed, or of an earlier version of its kind.
            newer = kept.get(model.tags["kind"])
            if model.status != "READY" or (newer and newer.model_id != model.model_id):
                mlflow_run.client.delete_logged_model(model.model_id)
    if name and champion in kept:
        with _reported_if_refused(f"tracking.register_as = {name!r}", reasons):
            _register(mlflow_run, name, kept[champion])
    return reasons


def _obstacle(run: RunDirectory, config: Config) -> str | None:
    """Return why the policies of a run can be no models, whatever MLflow says; None: they can."""
    if config.policy.kind not in ("mlp", "cnn"):
        return f"policy.kind = {config.policy.kind!r} cannot be made a model"
    try:
        spec = read_environment(run.environment_file)
    except RunDirectoryError:  # reported with the policy
        return None
    leaves = (spec.observation.leaves, spec.action.leaves)
    is_nested = any(leaf.path for part in leaves for leaf in part)
    if is_nested or spec.action_mask:
        return "nested spaces and action masks do not fit a model's signature"
    return None


def _models_of(mlflow_run: MLflowRun, experiment_id: str) -> list[LoggedModel]:
    there = mlflow_run.client.search_logged_models(
        [experiment_id], f"source_run_id = '{mlflow_run.run_id}'"
    )
    # Users may log models of their own to the run: those are not ours to judge or to delete.
    return [model for model in there if model.tags.get("kind") in _KINDS]


def _policies_of(
    run: RunDirectory, config: Config, report: Callable[[str], None]
) -> dict[str, Checkpoint | None]:
    """Return the best and the last policy by kind, as far as there are such; None: unreadable."""
    try:
        checkpoints = Checkpoints(run, config)
    except UsageError as error:  # they are kept where this machine cannot go
        report(f"the policies: {error}")
        return {}
    last = partial(checkpoints.newest, report)
    kinds: dict[str, Callable[[], Checkpoint | None]] = {"best": checkpoints.best, "last": last}
    found: dict[str, Checkpoint | None] = {}
    for kind, read in kinds.items():
        try:
            checkpoint = read()
        except Exception as error:  # noqa: BLE001  (torn, or whatever the store behind fsspec raises)
            report(f"the {kind} policy: {error}")
            found[kind] = None
        else:
            found |= {kind: checkpoint} if checkpoint else {}
    return found


def _name_of(kind: str, checkpoint: Checkpoint) -> str:
    return f"{kind}-update-{checkpoint.learner.version:09d}"


@contextmanager
def _reported_if_refused(what: str, reasons: list[str]) -> Iterator[None]:
    """Add a reason for what cannot be, or would be refused again; an outage is raised."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, UnsavablePolicyError) and http_status(error) not in _REFUSALS:
            raise
        reasons.append(f"{what}: {error}")


def _log(
    mlflow_run: MLflowRun,
    experiment_id: str,
    run: RunDirectory,
    config: Config,
    kind: str,
    checkpoint: Checkpoint,
) -> LoggedModel:
    client, progress = mlflow_run.client, checkpoint.progress
    # Before MLflow is asked for a model: one that cannot be must not leave a trace at every sync.
    try:
        spec = read_environment(run.environment_file)
    except RunDirectoryError as error:
        raise UnsavablePolicyError(str(error)) from None
    model = client.create_logged_model(
        experiment_id,
        name=_name_of(kind, checkpoint),
        source_run_id=mlflow_run.run_id,
        tags={"kind": kind, "updates": str(progress.updates)},
        model_type="policy",
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            with warnings.catch_warnings():
                # That an example of the input is missing; the signature says it all.
                warnings.simplefilter("ignore", UserWarning)
                _save(Path(folder), model, spec, run, config, checkpoint)
        except Exception as error:
            client.delete_logged_model(model.model_id)
            raise UnsavablePolicyError(f"{type(error).__name__}: {error}") from error
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    output = LoggedModelOutput(model.model_id, step=progress.environment_steps)
    client.log_outputs(mlflow_run.run_id, [output])
    metrics = _metrics_of(run, progress.updates, model.model_id)
    if metrics:
        client.log_batch(mlflow_run.run_id, metrics=metrics)
    return client.finalize_logged_model(model.model_id, "READY")


def _save(
    folder: Path,
    model: LoggedModel,
    spec: EnvironmentSpec,
    run: RunDirectory,
    config: Config,
    checkpoint: Checkpoint,
) -> None:
    learner = checkpoint.learner
    arrays = {"weights": learner.arrays["weights"], "version": np.array([learner.version])}
    files = {"weights": folder / "policy.safetensors", "config": folder / "config.yaml"}
    save_file(arrays, files["weights"])
    files["config"].write_text(shown_yaml(config), encoding="utf-8")
    files["environment"] = folder / run.environment_file.name
    shutil.copyfile(run.environment_file, files["environment"])
    versions = installed_versions(_REQUIREMENTS)
    mlflow.pyfunc.save_model(
        path=str(folder / "model"),
        python_model=str(Path(__file__).with_name("policy_model.py")),
        artifacts={name: str(file) for name, file in files.items()},
        signature=_signature(spec),
        pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
        mlflow_model=Model(
            run_id=model.source_run_id,
            model_id=model.model_id,
            model_uuid=model.model_id,
            artifact_path=model.artifact_location,
        ),
    )


def _signature(spec: EnvironmentSpec) -> ModelSignature:
    """Return what the model takes and gives: one array of observations, one of actions."""
    observations, actions = spec.observation.leaves, spec.action.leaves
    return ModelSignature(
        Schema([TensorSpec(np.dtype(_DTYPES[observations[0].kind]), (-1, *observations[0].shape))]),
        Schema([TensorSpec(np.dtype(actions[0].dtype), (-1, *actions[0].shape))]),
    )


def _metrics_of(run: RunDirectory, updates: int, model_id: str) -> list[Metric]:
    """Return the evaluations of a version, as the points of the run that they are."""
    metrics: list[Metric] = []
    for line in whole_lines(run.journal_file):
        # One that was torn has been reported and counted when the points were sent.
        with suppress(ValueError, TypeError):
            entry = JournalEntry.parse(line)
            if entry.batch is None and entry.updates == updates:
                metrics += [
                    Metric(name, value, entry.timestamp_ms, entry.environment_steps, model_id)
                    for name, value in entry.metrics.items()
                    if name.startswith("evaluation/")
                ]
    return metrics


def _register(mlflow_run: MLflowRun, name: str, model: LoggedModel) -> None:
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
    version = next((version for version in versions if version.source == source), None)
    if version is None:
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
