"""The best and the last policy of a run as models in MLflow, with their metrics."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException

from reinforce.cluster.errors import RunDirectoryError, UsageError
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.files import whole_lines
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.run_store.trust import is_known
from reinforce.cluster.self_command import search_current_directory
from reinforce.cluster.tracking.mlflow_run import MLflowRun
from reinforce.cluster.tracking.model_files import save_model, write_checked_bundle
from reinforce.cluster.tracking.shown_metrics import is_result
from reinforce.cluster.tracking.store import http_status
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import PREFIX

ALIAS = "champion"

_KINDS = ("best", "last")
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
    name = config.tracking.register_as
    try:
        _require_importable(run, config)
        return _log_all(mlflow_run, experiment_id, run, config)
    except ConfigError as obstacle:
        tell(
            f"no policy becomes a model in MLflow: {obstacle}. Nothing is lost: the run directory "
            "holds the policies, for `reinforce evaluate` and the like"
        )
        return [f"tracking.register_as = {name!r}: {obstacle}"] if name else []


def _require_importable(run: RunDirectory, config: Config) -> None:
    """Raise ConfigError if a policy is a class that this process cannot, or may not, import."""
    kind = config.policy.kind
    if kind.startswith(PREFIX):
        raise ConfigError(
            f"policy.kind = {kind!r} was given from Python, and no other process can import it; "
            "`export` of the run there writes a bundle"
        )
    if ":" not in kind:
        return
    if not is_known(run, config):
        raise ConfigError(
            f"policy.kind = {kind!r} would have to be imported, and you have neither made nor "
            "trusted this run (--trust)"
        )
    search_current_directory()


def _log_all(
    mlflow_run: MLflowRun, experiment_id: str, run: RunDirectory, config: Config
) -> list[str]:
    """Make the policies models, drop earlier ones, register the best; return what was refused."""
    name = config.tracking.register_as
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
    evaluations = _evaluations_of(run, progress.updates)
    mlflow_run.require_place()
    with tempfile.TemporaryDirectory() as temporary, mlflow_run.working():
        folder = Path(temporary)
        policy = _policy_of(run, config, kind, checkpoint)
        # Before MLflow is asked for a model: one that cannot be must not leave a trace there.
        with _made_unsavable():
            about = write_checked_bundle(folder / "bundle", policy)
        model = client.create_logged_model(
            experiment_id,
            name=_name_of(kind, checkpoint),
            source_run_id=mlflow_run.run_id,
            tags={"kind": kind, "updates": str(progress.updates), **_results(evaluations)},
            model_type="policy",
        )
        try:
            with _made_unsavable():
                save_model(folder / "model", folder / "bundle", about, policy, model)
        except UnsavablePolicyError:
            client.delete_logged_model(model.model_id)
            raise
        client.log_model_artifacts(model.model_id, str(folder / "model"))
    output = LoggedModelOutput(model.model_id, step=progress.environment_steps)
    client.log_outputs(mlflow_run.run_id, [output])
    metrics = [
        Metric(name, value, entry.timestamp_ms, entry.environment_steps, model.model_id)
        for entry in evaluations
        for name, value in entry.metrics.items()
        if name.startswith("evaluation/") and not is_result(name)
    ]
    if metrics:
        client.log_batch(mlflow_run.run_id, metrics=metrics)
    return client.finalize_logged_model(model.model_id, "READY")


def _policy_of(
    run: RunDirectory, config: Config, kind: str, checkpoint: Checkpoint
) -> TrainedPolicy:
    try:
        spec = read_environment(run.environment_file)
    except RunDirectoryError as error:
        raise UnsavablePolicyError(str(error)) from None
    checkpoint = replace(checkpoint, tracking=read_tracking_state(run.tracking_file))
    return TrainedPolicy(str(run.path), run.name, config, spec, checkpoint, kind)


@contextmanager
def _made_unsavable() -> Iterator[None]:
    """Turn what is raised by a policy that is no policy into UnsavablePolicyError.

    But for ConfigError, which blames the class of the user: no policy of the run can be a model.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise UnsavablePolicyError(f"{type(error).__name__}: {error}") from error


def _evaluations_of(run: RunDirectory, updates: int) -> list[JournalEntry]:
    """Return the evaluations of a version."""
    entries: list[JournalEntry] = []
    for line in whole_lines(run.journal_file):
        # One that was torn has been reported and counted when the points were sent.
        with suppress(ValueError, TypeError):
            entries.append(JournalEntry.parse(line))
    return [entry for entry in entries if entry.batch is None and entry.updates == updates]


def _results(evaluations: Sequence[JournalEntry]) -> dict[str, str]:
    """Return the tags of a model for the final evaluation, as a run has them."""
    return {
        name.removeprefix("evaluation/"): str(value)
        for entry in evaluations
        for name, value in entry.metrics.items()
        if is_result(name)
    }


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
