"""Whether a checkpoint still fits the user's code, which may have changed since it was made."""

from cluster.errors import UsageError
from cluster.records.checkpoint import Checkpoint
from configs.config import Config
from learner.policy import make_policy
from workers.environment import EnvironmentSpec
from workers.rollout_worker import architecture_of


def require_fit(checkpoint: Checkpoint, config: Config, spec: EnvironmentSpec) -> None:
    """Raise UsageError if the weights are not those of the policy for this environment.

    Raises:
        UsageError: Their number is another one.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    try:
        make_policy(architecture_of(config, spec)).load(checkpoint.weights)
    except ValueError as error:
        update, environment = checkpoint.progress.updates, config.environment.id
        raise UsageError(
            f"the checkpoint after update {update} is of no use here: {error}; the spaces of "
            f"environment.id = {environment!r}, or the policy's class, are not what they were when "
            "it was made: go back to that version of your code, or train anew"
        ) from None
