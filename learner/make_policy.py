"""Which policy acts: plain NumPy for ``mlp``, the learner's own network for all other kinds."""

from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.policy import MLPPolicy, Policy


def make_policy(architecture: PolicyArchitecture) -> Policy:
    """Return a policy that has no weights yet. All kinds but ``mlp`` import Torch.

    Raises:
        UnsuitablePolicyError: The user's class cannot be used.
    """
    if architecture.kind == "mlp":
        return MLPPolicy(architecture)
    from reinforce.learner.networks.network import TorchPolicy

    return TorchPolicy(architecture)
