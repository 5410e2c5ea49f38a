"""Warm starts: runs that begin with the weights of another (``run.start_from``).

They take over weights and observation statistics; optimizer, scales and baselines start fresh
unless ``run.start_from_optimizer`` is set.
"""

from reinforce.cluster.errors import UsageError
from reinforce.cluster.policy_sources import StoredPolicy, find_policy, names_the_same
from reinforce.configs.config import Config
from reinforce.configs.learning import SHAPE_OF_VALUES
from reinforce.configs.loading import with_overrides
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.architecture import differences
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_NOTED = ("start_from", "start_from_sha256", "start_from_link")
"""Settings of the section run that identify the initial weights."""


def with_start_noted(config: Config, spec: EnvironmentSpec) -> Config:
    """Return a configuration that identifies the initial weights exactly.

    Raises:
        UsageError: There are no such weights, or they do not fit.
    """
    if config.run.start_from is None:
        if config.run.start_from_sha256:
            raise UsageError(
                "run.start_from_sha256 shows that this is the configuration of a pretrained run: "
                "name its directory in run.start_from, or leave run.start_from_sha256 out"
            )
        return config
    start = _find(config.run.start_from, config)
    _require_fit(start, config, spec)
    link = start.checkpoint.tracking.get("link")
    return _noted(config, start.source, start.checkpoint.weights.sha256, link)


def with_own_start(config: Config, weights_sha256: str) -> Config:
    """Return a configuration whose run begins with weights in its own directory.

    The weights that these were made from do not count as its start.
    """
    return _noted(config, None, weights_sha256, None)


def _noted(config: Config, *values: str | None) -> Config:
    return with_overrides(
        config, {f"run.{name}": value for name, value in zip(_NOTED, values, strict=True)}
    )


def first_state(config: Config, spec: EnvironmentSpec) -> LearnerState | None:
    """Return a new learner's initial state; None: random weights.

    Raises:
        UsageError: The weights are gone, or have changed.
    """
    if config.run.start_from is None:
        if config.run.start_from_sha256:
            raise UsageError(
                "the weights that `pretrain` made for this run, sha256 "
                f"{config.run.start_from_sha256}, are gone with its checkpoints; put those back, "
                "or pretrain a run with another name"
            )
        return None
    start = _find(config.run.start_from, config)
    if start.checkpoint.weights.sha256 != config.run.start_from_sha256:
        raise UsageError(
            f"run.start_from = {config.run.start_from!r}: its weights are no longer those with "
            f"sha256 {config.run.start_from_sha256}"
        )
    _require_fit(start, config, spec)
    state = start.checkpoint.learner
    if config.run.start_from_optimizer:
        return LearnerState(0, state.arrays)
    return LearnerState(0, state.policy_arrays, is_warm_start=True)


def start_of(config: Config) -> dict[str, str | None] | None:
    """Return the summary's description of the initial weights; None: random ones."""
    if config.run.start_from_sha256 is None:
        return None
    return {
        "source": config.run.start_from or "recorded actions",
        "weights_sha256": config.run.start_from_sha256,
        "mlflow": config.run.start_from_link,
    }


def with_stored_start(stored: Config, config: Config) -> Config:
    """Return a configuration with the run's record of its start, if it is the same start.

    A repeated command names the start as the first time, and never its digest; that of a pretrained
    run belongs to a start without a name.
    """
    noted, named = stored.run.start_from, config.run.start_from
    is_the_same = names_the_same(noted, named) if noted and named else noted is named
    if not is_the_same or config.run.start_from_sha256 not in (None, stored.run.start_from_sha256):
        return config
    return _noted(config, *(getattr(stored.run, name) for name in _NOTED))


def _find(start_from: str, config: Config) -> StoredPolicy:
    return find_policy(start_from, "run.start_from", config.tracking)


def _require_fit(start: StoredPolicy, config: Config, spec: EnvironmentSpec) -> None:
    start.require_arguments()
    theirs, ours = architecture_of(start.config, start.spec), architecture_of(config, spec)
    differing = differences(theirs, ours)
    if config.run.start_from_optimizer:
        differing += _differing_optimizers(start, config)
    if differing:
        raise UsageError(
            f"run.start_from = {config.run.start_from!r} does not fit this run:{differing}"
        )
    make_policy(ours).load(start.checkpoint.weights)


def _differing_optimizers(start: StoredPolicy, config: Config) -> str:
    """Return a line for each part besides the policy that does not fit."""
    theirs, ours = start.config.learner, config.learner
    lines = [
        f"\n  learner.{name}: {getattr(theirs, name)} there, {getattr(ours, name)} here"
        for name in ("optimizer", *SHAPE_OF_VALUES, "advantage_scale")
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if len(start.checkpoint.learner.arrays) == len(start.checkpoint.learner.policy_arrays):
        lines.append("\n  optimizer: none there; leave out run.start_from_optimizer")
    return "".join(lines)
