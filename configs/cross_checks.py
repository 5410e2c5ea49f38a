"""Settings that make no sense together, each with the reason and the way out."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from reinforce.configs.execution import (
    CheckpointConfig,
    ClusterConfig,
    TrackingConfig,
    WorkersConfig,
)
from reinforce.configs.experiment import EvaluationConfig, StopConfig
from reinforce.configs.learning import LearnerConfig, PolicyConfig


def of_the_baseline(learner: LearnerConfig) -> Iterator[str]:
    """Yield what the baseline does not go with."""
    baseline = f"learner.baseline = {learner.baseline!r}"
    if learner.baseline in ("leave_one_out", "time") and learner.episodes_per_update == 1:
        yield (
            f"{baseline} compares episodes with each other and needs learner.episodes_per_update "
            f">= 2, not {learner.episodes_per_update}; use learner.baseline none or more episodes"
        )
    if learner.episodes_bounds[0] > learner.episodes_bounds[1]:
        yield (
            f"learner.episodes_bounds = {learner.episodes_bounds} are not smallest and largest; "
            "swap them"
        )
    if learner.advantage_scale == "episode" and learner.baseline != "none":
        yield (
            "learner.advantage_scale = 'episode' subtracts each episode's own mean, which undoes "
            f"{baseline}; use learner.baseline none"
        )
    if learner.return_kind == "total" and learner.baseline in ("linear", "value"):
        yield (
            f"{baseline} foresees rewards-to-go; use learner.return_kind reward_to_go, or another "
            "baseline with total"
        )
    if learner.gae_lambda < 1 and learner.baseline != "value":
        yield (
            f"learner.gae_lambda = {learner.gae_lambda} mixes in a value function; use "
            "learner.baseline value, or learner.gae_lambda 1"
        )
    if learner.truncation == "bootstrap" and learner.baseline != "value":
        yield (
            "learner.truncation = 'bootstrap' goes on with a value function; use learner.baseline "
            "value, or learner.truncation as_termination"
        )


def of_the_policy(policy: PolicyConfig) -> Iterator[str]:
    """Yield what the kind of policy does not go with."""
    if policy.kind == "gru" and not policy.hidden_sizes:
        yield (
            "policy.kind = 'gru' needs policy.hidden_sizes, the last of which is its memory, such "
            "as [64]"
        )
    if policy.arguments and ":" not in policy.kind:
        yield (
            f"policy.arguments = {policy.arguments} are for a module:Class of your own and have no "
            f"effect with policy.kind {policy.kind}"
        )


def without_effect(learner: LearnerConfig) -> Iterator[str]:
    """Yield settings that were given but that nothing would look at."""
    needs = {
        "value_learning_rate": ("baseline", "value"),
        "episodes_bounds": ("episodes_per_update", "auto"),
        "gradient_snr_target": ("episodes_per_update", "auto"),
    }
    for name, (other, value) in needs.items():
        is_changed = getattr(learner, name) != LearnerConfig.model_fields[name].default
        if is_changed and getattr(learner, other) != value:
            yield f"learner.{name} has no effect without learner.{other} {value}"
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
    """Yield what the kind of return and the schedules do not go with."""
    if learner.return_kind == "total" and learner.discount_state_weight:
        yield (
            "learner.return_kind = 'total' is exact for the discounted objective as it is; "
            "learner.discount_state_weight true would count the discount twice"
        )
    if learner.advantage_scale == "episode" and learner.return_kind == "total":
        yield (
            "learner.advantage_scale = 'episode' subtracts each episode's mean, and with "
            "learner.return_kind = 'total' nothing is left; use reward_to_go"
        )
    if learner.advantage_scale == "episode" and cluster.lookahead > 0:
        yield (
            "learner.advantage_scale = 'episode' would undo the importance weights that "
            "cluster.lookahead 1 needs; use another scale"
        )
    if learner.importance_self_normalize and learner.episodes_per_update == 1:
        yield (
            "learner.importance_self_normalize divides by a mean over episodes; with one episode "
            "every weight would be 1: use more, or false"
        )
    if learner.return_kind == "total" and cluster.lookahead > 0:
        yield (
            "learner.return_kind = 'total' credits an action with rewards before it, which "
            "importance weights do not cover; use reward_to_go with cluster.lookahead 1"
        )
    scheduled = (learner.learning_rate, learner.entropy_coefficient)
    has_schedule = any(isinstance(setting, tuple) for setting in scheduled)
    if has_schedule and learner.schedule_updates is None:
        yield (
            "learner.learning_rate or learner.entropy_coefficient has a start and an end, but "
            "learner.schedule_updates is None; set it to the updates between them"
        )
    if learner.schedule_updates is not None and not has_schedule:
        yield (
            f"learner.schedule_updates = {learner.schedule_updates}, but neither "
            "learner.learning_rate nor learner.entropy_coefficient has a start and an end"
        )


def of_workers(workers: WorkersConfig) -> Iterator[str]:
    """Yield bounds of the number of workers that cannot hold."""
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
    """Yield what cannot be executed as it is written."""
    if stop.target_return is not None and evaluation.every_updates is None:
        yield (
            f"stop.target_return = {stop.target_return} is compared with evaluations, but "
            "evaluation.every_updates is None; set it to a number of updates"
        )
    if cluster.backend == "inline" and cluster.address is not None:
        yield (
            f"cluster.address = {cluster.address!r} has no meaning with cluster.backend = "
            "'inline'; use cluster.backend ray"
        )


def of_secrets(tracking: TrackingConfig, checkpoint: CheckpointConfig) -> Iterator[str]:
    """Yield addresses that would carry a secret into the run directory and into MLflow."""
    if tracking.uri and _may_hold_a_secret(tracking.uri):
        yield (
            "tracking.uri is not a plain address: it holds a user, a password or a query, and the "
            "configuration is written to the run directory and to MLflow; give these in "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole address in "
            "MLFLOW_TRACKING_URI"
        )
    if checkpoint.directory and _may_hold_a_secret(checkpoint.directory):
        yield (
            "checkpoint.directory holds a user, a password or a query, and the configuration is "
            "written to the run directory and to MLflow; give credentials in the way of the store, "
            "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _may_hold_a_secret(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:  # not an address at all
        return True
    return "@" in parts.netloc or bool(parts.query)
