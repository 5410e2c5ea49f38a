"""The best and the last policy of a run as models in MLflow, with their metrics."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import yaml
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from safetensors.numpy import save_file

from cluster.errors import UsageError
from cluster.records.checkpoint import Checkpoint, CorruptCheckpointError
from cluster.records.checkpoints import Checkpoints
from cluster.records.line_tail import LineTail
from cluster.records.record import Record
from cluster.records.run_directory import RunDirectory
from cluster.tracking.mlflow_run import MLflowRun
from cluster.tracking.run_description import shown_settings
from configs.config import Config
from workers.environment import EnvironmentSpec, inspect_environment

ALIAS = "champion"
_DTYPES = {"numbers": "float32", "pixels": "uint8", "categories": "int64"}
_REQUIREMENTS = ("distributed-reinforce", "gymnasium", "mlflow", "numpy", "safetensors")


@dataclass(frozen=True)
class PolicyVersion:
    """One version of the policy that is worth keeping.

    Attributes:
        kind: ``best`` by its evaluations, or ``last``.
        checkpoint: Where it is.
    """

    kind: str
    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """Name of the model in MLflow."""
        return f"{self.kind}-update-{self.checkpoint.learner.version:09d}"


def log_policies(
    mlflow_run: MLflowRun, experiment_id: str, run: RunDirectory, config: Config
) -> list[str]:
    """Make the best and the last policy models of this run, unless they are; drop earlier ones.

    Returns:
        Why a policy was left out. What MLflow cannot take at the moment is raised.
    """
    reasons: list[str] = []
    client, run_id = mlflow_run.client, mlflow_run.run_id
    there = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    mlflow_run.on_answer()
    ready = {model.name: model for model in there if model.status == "READY"}
    kept: dict[str, LoggedModel] = {}
    for policy in _policies(run, config, reasons.append):
        try:
            kept[policy.name] = ready.get(policy.name) or _log(
                mlflow_run, experiment_id, run, config, policy
            )
        except UnsavablePolicyError as error:
            reasons.append(f"the {policy.kind} policy: {error}")
    for model in there:
        # Of an earlier version, or left behind by an attempt whose answer got lost.
        if kept and model.model_id not in {one.model_id for one in kept.values()}:
            client.delete_logged_model(model.model_id)
    if config.tracking.register_as and kept:
        _register(mlflow_run, config.tracking.register_as, next(iter(kept.values())))
    return reasons


class UnsavablePolicyError(Exception):
    """A policy cannot be made a model: its environment cannot be made here, for example."""


def _policies(
    run: RunDirectory, config: Config, report: Callable[[str], None]
) -> Iterator[PolicyVersion]:
    """Yield the best and the last version of the policy, as far as there are such."""
    try:
        checkpoints = Checkpoints(run, config)
    except UsageError as error:  # they are kept where this machine cannot go
        report(f"the policies: {error}")
        return
    try:
        best = checkpoints.best()
    except (CorruptCheckpointError, OSError) as error:
        report(f"the best policy: {error}")
        best = None
    if best:
        yield PolicyVersion("best", best)
    last = checkpoints.newest(report)
    if last:
        yield PolicyVersion("last", last)


def _log(
    mlflow_run: MLflowRun,
    experiment_id: str,
    run: RunDirectory,
    config: Config,
    policy: PolicyVersion,
) -> LoggedModel:
    client, progress = mlflow_run.client, policy.checkpoint.progress
    with tempfile.TemporaryDirectory() as folder:
        model = client.create_logged_model(
            experiment_id,
            name=policy.name,
            source_run_id=mlflow_run.run_id,
            tags={"kind": policy.kind, "updates": str(progress.updates)},
            model_type="policy",
        )
        mlflow_run.on_answer()
        try:
            with warnings.catch_warnings():
                # That an example of the input is missing; the signature says it all.
                warnings.simplefilter("ignore", UserWarning)
                _save(Path(folder), model, config, policy)
        except Exception as error:
            client.finalize_logged_model(model.model_id, "FAILED")
            raise UnsavablePolicyError(f"{type(error).__name__}: {error}") from error
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    mlflow_run.on_answer()
    client.log_outputs(
        mlflow_run.run_id, [LoggedModelOutput(model.model_id, step=progress.environment_steps)]
    )
    metrics = _metrics_of(run, progress.updates, model.model_id)
    if metrics:
        client.log_batch(mlflow_run.run_id, metrics=metrics)
    return client.finalize_logged_model(model.model_id, "READY")


def _save(folder: Path, model: LoggedModel, config: Config, policy: PolicyVersion) -> None:
    learner, spec = policy.checkpoint.learner, inspect_environment(config.environment)
    arrays = {"weights": learner.arrays["weights"], "version": np.array([learner.version])}
    save_file(arrays, folder / "policy.safetensors")
    settings = yaml.safe_dump(shown_settings(config), sort_keys=False)
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    mlflow.pyfunc.save_model(
        path=str(folder / "model"),
        python_model=str(Path(__file__).with_name("policy_model.py")),
        artifacts={
            "weights": str(folder / "policy.safetensors"),
            "config": str(folder / "config.yaml"),
        },
        signature=_signature(config, spec),
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
        mlflow_model=Model(
            run_id=model.source_run_id,
            model_id=model.model_id,
            model_uuid=model.model_id,
            artifact_path=model.artifact_location,
        ),
    )


def _signature(config: Config, spec: EnvironmentSpec) -> ModelSignature:
    """Return what the model takes and gives: one array of observations, one of actions.

    Raises:
        UnsavablePolicyError: The policy needs more than one observation at a time to act.
    """
    observations, actions = spec.observation.leaves, spec.action.leaves
    is_nested = any(x.path for x in observations) or any(x.path for x in actions)
    if is_nested or spec.action_mask:
        raise UnsavablePolicyError("nested spaces and action masks do not fit a model's signature")
    if config.policy.kind not in ("mlp", "cnn"):
        raise UnsavablePolicyError(f"policy.kind = {config.policy.kind!r} cannot be made a model")
    return ModelSignature(
        Schema([TensorSpec(np.dtype(_DTYPES[observations[0].kind]), (-1, *observations[0].shape))]),
        Schema([TensorSpec(np.dtype(actions[0].dtype), (-1, *actions[0].shape))]),
    )


def _metrics_of(run: RunDirectory, updates: int, model_id: str) -> list[Any]:
    """Return the evaluations of a version, as the points of the run that they are."""
    metrics: list[Any] = []
    for record in _whole_records(run):
        if record.batch is None and record.updates == updates:
            steps, time_ms = record.environment_steps, record.timestamp_ms
            metrics += [
                Metric(name, value, time_ms, steps, model_id=model_id)
                for name, value in record.metrics.items()
                if name.startswith("evaluation/")
            ]
    return metrics


def _whole_records(run: RunDirectory) -> Iterator[Record]:
    with closing(LineTail(run.journal_file)) as journal:
        for line in journal.new_lines():
            # One that was torn has been told and counted when the points were sent.
            with suppress(ValueError, TypeError):
                yield Record.parse(line)


def _register(mlflow_run: MLflowRun, name: str, model: LoggedModel) -> None:
    """Make the model the newest version of a registered one, under the alias ``champion``."""
    client = mlflow_run.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{model.model_id}"
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{mlflow_run.run_id}'")
    same = [version for version in versions if version.source == source]
    version = (
        same[0]
        if same
        else client.create_model_version(name, source, mlflow_run.run_id, model_id=model.model_id)
    )
    client.set_registered_model_alias(name, ALIAS, version.version)
