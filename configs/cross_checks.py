"""Combinations of settings that make no sense, each with the reason and the way out."""

import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from reinforce.configs.errors import ConfigError, suggestion
from reinforce.configs.execution import (
    CheckpointConfig,
    ClusterConfig,
    TrackingConfig,
    WorkersConfig,
)
from reinforce.configs.experiment import EnvironmentConfig, EvaluationConfig, RunConfig, StopConfig
from reinforce.configs.learning import LearnerConfig, PolicyConfig

_LINK = re.compile(r"::(?=[A-Za-z0-9+.-]+://)")
"""Between two addresses of a chain of fsspec's, such as simplecache::s3://bucket; not in [::1]."""

_NEEDS = (
    ("gae_lambda", "mixes in a value function", "baseline", "value"),
    ("truncation", "continues with a value function", "baseline", "value"),
    ("value_learning_rate", "is for a value function", "baseline", "value"),
    ("value_horizon_steps", "is for a value function", "baseline", "value"),
    ("value_memory", "is for a value function", "baseline", "value"),
    ("episodes_bounds", "bounds a size that changes", "episodes_per_update", "auto"),
    ("gradient_snr_target", "steers a size that changes", "episodes_per_update", "auto"),
)
"""(name, reason, other, value): unless at its default, a setting needs another to have a value."""


def of_the_baseline(learner: LearnerConfig) -> Iterator[str]:
    """Yield conflicts with the baseline."""
    baseline = f"learner.baseline = {learner.baseline!r}"
    if learner.baseline in ("leave_one_out", "time") and learner.episodes_per_update == 1:
        yield (
            f"{baseline} compares episodes with each other and needs learner.episodes_per_update "
            ">= 2, not 1; use learner.baseline none or more episodes"
        )
    if learner.return_kind == "total" and learner.baseline in ("linear", "value"):
        yield (
            f"{baseline} predicts rewards-to-go; use learner.return_kind reward_to_go, or another "
            "baseline with total"
        )
    if learner.advantage_scale == "episode" and learner.baseline != "none":
        yield (
            "learner.advantage_scale = 'episode' subtracts each episode's own mean, which undoes "
            f"{baseline}; use learner.baseline none"
        )


def of_the_limit_of_time(learner: LearnerConfig, environment: EnvironmentConfig) -> Iterator[str]:
    """Yield conflicts with a return that continues past the time limit."""
    if learner.truncation == "bootstrap" and learner.value_horizon_steps is not None:
        yield (
            f"learner.value_horizon_steps = {learner.value_horizon_steps} shows the value function "
            "how near the time limit is, but learner.truncation = 'bootstrap' asks it for values "
            "past the limit, which it has never seen; use as_termination, or leave "
            "learner.value_horizon_steps at None"
        )
    is_bounded = learner.discount < 1 or environment.max_episode_steps is not None
    if learner.truncation == "bootstrap" and not is_bounded:
        yield (
            "learner.truncation = 'bootstrap' continues past the time limit, and with "
            f"learner.discount = {learner.discount} it sums rewards without end, so values would "
            "grow from update to update; use a learner.discount below 1, such as 0.99, or "
            "learner.truncation as_termination; if every episode ends by itself, "
            "environment.max_episode_steps may name the step at which it is cut"
        )


def of_the_policy(policy: PolicyConfig) -> Iterator[str]:
    """Yield conflicts with the kind of policy."""
    if policy.kind == "gru" and not policy.hidden_sizes:
        yield (
            "policy.kind = 'gru' needs policy.hidden_sizes, such as [64]; the last one is its "
            "memory"
        )
    if policy.channels and policy.kind == "mlp":
        yield (
            f"policy.channels = {policy.channels!r} says how convolutions read an image, but "
            "policy.kind mlp has none; use cnn, or leave policy.channels at None"
        )
    if policy.arguments and ":" not in policy.kind:
        yield (
            f"policy.arguments = {policy.arguments} are for your own module:Class and have no "
            f"effect with policy.kind {policy.kind}"
        )


def require_used(policy: PolicyConfig, learner: LearnerConfig, said: Collection[str]) -> None:
    """Refuse settings of the built-in networks for a network of the user's own.

    Those of a preset or a record are left alone: the user may not even know them.

    Args:
        policy: The policy.
        learner: The learner; its value function, if any, uses the settings.
        said: Names of the settings that the user has written.

    Raises:
        ConfigError: One of them would have no effect.
    """
    names = ("policy.hidden_sizes", "policy.activation", "policy.channels")
    unused = [name for name in names if name in said]
    if unused and ":" in policy.kind and learner.baseline != "value":
        raise ConfigError(
            f"{' and '.join(unused)} would not be used: {policy.kind} is your own, and its "
            "arguments are policy.arguments"
        )


def of_the_memory_of_values(learner: LearnerConfig, policy: PolicyConfig) -> Iterator[str]:
    """Yield conflicts with a value function that remembers."""
    if learner.value_memory and not policy.hidden_sizes:
        yield (
            "learner.value_memory = True needs policy.hidden_sizes, such as [64]; the last one is "
            "the memory"
        )


def without_effect(learner: LearnerConfig) -> Iterator[str]:
    """Yield settings that would have no effect, or none as they are."""
    for name, reason, other, wanted in _NEEDS:
        value, default = getattr(learner, name), LearnerConfig.model_fields[name].default
        if value != default and getattr(learner, other) != wanted:
            yield (
                f"learner.{name} = {value!r} {reason}; use learner.{other} {wanted}, or leave "
                f"learner.{name} at {default}"
            )
    smallest, largest = learner.episodes_bounds
    if smallest > largest:
        yield f"learner.episodes_bounds = {smallest, largest} are in the wrong order; swap them"
    if learner.discount_state_weight and learner.discount == 1:
        yield "learner.discount_state_weight has no effect with learner.discount 1"
    if learner.importance_correction == "none" and (
        learner.importance_cap is not None or learner.importance_self_normalize
    ):
        yield (
            "learner.importance_cap and learner.importance_self_normalize have no effect with "
            "learner.importance_correction none"
        )


def of_returns_and_schedules(learner: LearnerConfig, cluster: ClusterConfig) -> Iterator[str]:
    """Yield conflicts with the kind of return, the scale and the schedules."""
    total, scale = "learner.return_kind = 'total'", "learner.advantage_scale = 'episode'"
    if learner.return_kind == "total" and learner.discount_state_weight:
        yield (
            f"{total} is already exact for the discounted objective; learner.discount_state_weight "
            "true would count the discount twice"
        )
    if learner.return_kind == "total" and learner.advantage_scale == "episode":
        yield (
            f"{scale} subtracts each episode's mean, so with {total} nothing is left; use "
            "reward_to_go"
        )
    if learner.advantage_scale == "episode" and cluster.lookahead > 0:
        yield (
            f"{scale} would undo the importance weights that cluster.lookahead 1 needs; use "
            "another scale"
        )
    if learner.importance_self_normalize and learner.episodes_per_update == 1:
        yield (
            "learner.importance_self_normalize divides by a mean over episodes, so with one "
            "episode every weight would be 1; use more episodes, or false"
        )
    if learner.return_kind == "total" and cluster.lookahead > 0:
        yield (
            f"{total} credits an action with rewards before it, which importance weights do not "
            "cover; use reward_to_go with cluster.lookahead 1"
        )
    scheduled = (learner.learning_rate, learner.entropy_coefficient, learner.entropy_reward)
    has_schedule = any(isinstance(setting, tuple) for setting in scheduled)
    if has_schedule != (learner.schedule_updates is not None):
        yield (
            f"learner.schedule_updates is {learner.schedule_updates}; set it to the updates "
            "between start and end if learner.learning_rate, learner.entropy_coefficient or "
            "learner.entropy_reward has a start and an end, and only then"
        )


def of_workers(workers: WorkersConfig) -> Iterator[str]:
    """Yield impossible bounds of the number of workers."""
    bounds = f"workers.min_workers = {workers.min_workers}, max_workers = {workers.max_workers}"
    has_bounds = workers.min_workers > 1 or workers.max_workers is not None
    if workers.num_workers != "auto" and has_bounds:
        yield (
            f"workers.num_workers = {workers.num_workers} is fixed, which {bounds} cannot change; "
            "use workers.num_workers auto, or leave the bounds out"
        )
    if workers.max_workers is not None and workers.min_workers > workers.max_workers:
        yield f"{bounds} are not lower and upper bound; swap them"


def of_execution(
    stop: StopConfig, evaluation: EvaluationConfig, cluster: ClusterConfig
) -> Iterator[str]:
    """Yield settings that cannot be executed as written."""
    for name in ("target_return", "patience_evaluations"):
        value = getattr(stop, name)
        if value is not None and evaluation.every_updates is None:
            yield (
                f"stop.{name} = {value} depends on regular evaluations, but "
                "evaluation.every_updates is None; set it to a number of updates"
            )
    if cluster.backend == "inline" and cluster.address is not None:
        yield (
            f"cluster.address = {cluster.address!r} has no meaning with cluster.backend = "
            "'inline'; use cluster.backend ray"
        )


def of_metrics(environment: EnvironmentConfig, stop: StopConfig) -> Iterator[str]:
    """Yield a goal that is not measured."""
    name, measured = stop.target_metric, environment.metrics
    if name is not None and name not in measured:
        near = suggestion(name, measured)
        yield (
            f"stop.target_metric = {name!r} is not measured; {near + ' Else ' if near else ''}take "
            f"it from info with environment.info_metrics, such as {{{name}: last}}"
        )


def of_secrets(
    run: RunConfig, tracking: TrackingConfig, checkpoint: CheckpointConfig
) -> Iterator[str]:
    """Yield addresses that would put a secret into the run directory and MLflow."""
    mlflow = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    start_from = run.start_from if run.start_from and "://" in run.start_from else None
    store = "variables such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    for name, address, way_out in (
        ("tracking.uri", tracking.uri, f"{mlflow}, or the whole address in MLFLOW_TRACKING_URI"),
        ("checkpoint.directory", checkpoint.directory, store),
        ("run.start_from", start_from, store),
    ):
        if address and may_hold_a_secret(address):
            yield (
                f"{name} is not a plain address: it contains a user, a password or a query, and "
                "the configuration is written to the run directory and to MLflow; put credentials "
                f"into {way_out}"
            )


def may_hold_a_secret(uri: str) -> bool:
    """Return whether an address, or one in a chain, has a part that may hold credentials."""
    try:
        chain = [urlsplit(link) for link in _LINK.split(uri)]
    except ValueError:  # not an address at all
        return True
    return any("@" in parts.netloc or parts.query for parts in chain)
