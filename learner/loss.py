"""The surrogate loss: a scalar whose gradient, on data of the current policy, is REINFORCE's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from learner.torch_distributions import TorchDistribution


@dataclass(frozen=True)
class SurrogateLoss:
    """The loss of some steps and its parts. Its value is no measure of progress: look at returns.

    Attributes:
        loss: Scalar to differentiate.
        log_probs: [B] log-probabilities of the actions taken (nats).
        entropy_sum: Scalar, the sum of the policy's entropies over the steps (nats).
    """

    loss: Tensor
    log_probs: Tensor
    entropy_sum: Tensor


def surrogate_loss(
    distribution: TorchDistribution,
    actions: Tensor,
    advantages: Tensor,
    num_episodes: int,
    entropy_coefficient: float,
) -> SurrogateLoss:
    """Return ``-(1/E) sum_b (log pi(a_b|s_b) A_b + c H(pi(.|s_b)))`` over a batch or a part of it.

    The normaliser is the number of episodes of the whole batch, a constant: dividing by the number
    of steps makes a ratio estimator, dividing by each episode's length favours short episodes
    (Liu et al. 2025, arXiv:2503.20783). The losses of the parts of a batch add up to its loss.

    The entropy is the analytic one of the current policy at the recorded states. The sampled
    ``-log pi(a|s)`` in its place would have a gradient of mean zero: noise and nothing else.

    Args:
        distribution: Over the actions of B steps.
        actions: [B, ...] as they were recorded.
        advantages: [B], constants.
        num_episodes: E, episodes in the whole batch, >= 1.
        entropy_coefficient: c >= 0.

    Source: Williams (1992), Machine Learning 8; Williams & Peng (1991) for the entropy.
    """
    log_probs = distribution.log_prob(actions)
    with torch.set_grad_enabled(entropy_coefficient > 0):
        entropy_sum = distribution.entropy().sum()
    objective = (log_probs * advantages).sum() + entropy_coefficient * entropy_sum
    return SurrogateLoss(-objective / num_episodes, log_probs.detach(), entropy_sum.detach())
