"""Warm starts: a run that begins with the weights of another (``run.start_from``).

Weights and the statistics that normalise observations are taken over; optimizer, scales and
baselines start fresh unless ``run.start_from_optimizer`` says otherwise.
"""

from itertools import zip_longest
from pathlib import Path

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.run_store.trust import CHECKPOINTS, require_trust
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, with_overrides
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_KEPT = ("weights", "statistics.")
"""Arrays of a state that make the policy, by how their names begin."""


def with_start_noted(config: Config, spec: EnvironmentSpec) -> Config:
    """Return a configuration that says from which weights exactly its run begins.

    Raises:
        UsageError: There are no such weights, or they do not fit.
    """
    if config.run.start_from is None:
        return config
    run, checkpoint = _found(config.run.start_from)
    _require_fit(run, checkpoint, config, spec)
    noted = {
        "run.start_from": f"{run.path}@{checkpoint.learner.version}",
        "run.start_from_sha256": checkpoint.weights.sha256,
    }
    return with_overrides(config, noted)


def first_state(config: Config, spec: EnvironmentSpec) -> LearnerState | None:
    """Return what the learner of a new run begins with; None: random weights.

    Raises:
        UsageError: The weights are gone, or are not those that the run began with.
    """
    if config.run.start_from is None:
        return None
    run, checkpoint = _found(config.run.start_from)
    if checkpoint.weights.sha256 != config.run.start_from_sha256:
        raise UsageError(
            f"run.start_from = {config.run.start_from!r}: its weights are no longer those with "
            f"sha256 {config.run.start_from_sha256}"
        )
    _require_fit(run, checkpoint, config, spec)
    arrays = checkpoint.learner.arrays
    if config.run.start_from_optimizer:
        return LearnerState(0, arrays)
    policy = {name: arrays[name] for name in arrays if name.startswith(_KEPT)}
    return LearnerState(0, policy, is_warm_start=True)


def _found(start_from: str) -> tuple[RunDirectory, Checkpoint]:
    """Return the run and the checkpoint that ``RUN_DIR``, ``RUN_DIR@best`` or ``RUN_DIR@N`` name.

    A checkpoint of an update that is no longer kept may still be the best one.
    """
    path, which = _split(start_from)
    run = RunDirectory.open(Path(path))
    config = load_config(str(run.config_file))
    require_trust(run, config, CHECKPOINTS)
    checkpoints = Checkpoints(run, config)
    try:
        if not which:
            found = checkpoints.newest(lambda text: None)
        elif which.isdigit() and int(which) in checkpoints.versions():
            found = checkpoints.load(int(which))
        else:
            best = checkpoints.best()
            is_meant = best is not None and which in ("best", str(best.learner.version))
            found = best if is_meant else None
    except (CorruptCheckpointError, OSError) as error:
        raise UsageError(f"run.start_from = {start_from!r}: {error}") from None
    if found is None:
        there = ", ".join(map(str, checkpoints.versions())) or "none"
        raise UsageError(
            f"run.start_from = {start_from!r}: there is no such checkpoint in "
            f"{checkpoints.location} (there are those after update: {there}); give RUN_DIR, "
            "RUN_DIR@best or RUN_DIR@UPDATE"
        )
    return run, found


def _split(start_from: str) -> tuple[str, str]:
    """Return the run directory and what stands behind its ``@``."""
    path, _, which = start_from.rpartition("@")
    return (path, which) if path and not Path(start_from).is_dir() else (start_from, "")


def with_stored_start(stored: Config, config: Config) -> Config:
    """Return a configuration that says of its start what the run has noted, if it is the same.

    Whoever starts the same command again names the run as they did the first time.
    """
    if not (stored.run.start_from and config.run.start_from):
        return config
    path, which = _split(config.run.start_from)
    noted_path, noted = _split(stored.run.start_from)
    if Path(path).absolute() != Path(noted_path) or which not in ("", "best", noted):
        return config
    kept = ("start_from", "start_from_sha256")
    return with_overrides(config, {f"run.{name}": getattr(stored.run, name) for name in kept})


def _require_fit(
    run: RunDirectory, checkpoint: Checkpoint, config: Config, spec: EnvironmentSpec
) -> None:
    their_config = load_config(str(run.config_file))
    ours = architecture_of(config, spec)
    theirs = architecture_of(their_config, read_environment(run.environment_file))
    differing = differences(theirs, ours)
    if config.run.start_from_optimizer:
        for name in ("optimizer", "baseline", "advantage_scale"):
            one, other = getattr(their_config.learner, name), getattr(config.learner, name)
            differing += f"\n  learner.{name}: {one} there, {other} here" * (one != other)
    if differing:
        raise UsageError(
            f"run.start_from = {config.run.start_from!r} does not fit this run:{differing}"
        )
    make_policy(ours).load(checkpoint.weights)


def differences(theirs: PolicyArchitecture, ours: PolicyArchitecture) -> str:
    """Return a line for each part, and of ``mlp`` each tensor, in which two policies differ."""
    lines = [
        f"{name}: {one} there, {other} here"
        for name, one, other in (
            (name, getattr(theirs, name), getattr(ours, name)) for name in vars(theirs)
        )
        if one != other
    ]
    if {theirs.kind, ours.kind} == {"mlp"}:
        pairs = zip_longest(theirs.parameter_shapes, ours.parameter_shapes)
        lines += [
            f"tensor {index}: {list(one or ()) or 'none'} there, {list(other or ()) or 'none'} here"
            for index, (one, other) in enumerate(pairs)
            if one != other
        ]
    return "".join(f"\n  {line}" for line in lines)
