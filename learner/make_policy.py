"""Which policy acts: plain NumPy for ``mlp``, the learner's own network for all other kinds."""

from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.policy import MLPPolicy, Policy


def make_policy(architecture: PolicyArchitecture) -> Policy:
    """Return a policy without weights. All kinds but ``mlp`` import Torch.

    Raises:
        UnsuitablePolicyError: The user's class cannot be used.
    """
    if architecture.kind == "mlp":
        return MLPPolicy(architecture)
    from reinforce.learner.networks.network import TorchPolicy

    return TorchPolicy(architecture)


def require_num_weights(architecture: PolicyArchitecture, num_weights: int) -> None:
    """Raise ValueError if a policy has a different number of weights, without creating it.

    A user's class that cannot be created on the device ``meta`` is not checked.
    """
    expected: int | None
    if ":" not in architecture.kind:
        expected = architecture.num_parameters
    else:
        from reinforce.learner.networks.custom import num_weights_of_class

        expected = num_weights_of_class(architecture)
    if expected not in (None, num_weights):
        raise ValueError(f"{num_weights} weights do not fit a policy of {expected}")
