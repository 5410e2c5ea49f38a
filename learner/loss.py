"""The surrogate loss: a scalar whose gradient, on data of the current policy, is REINFORCE's."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reinforce.learner.networks.torch_distributions import TorchDistribution


@dataclass(frozen=True)
class SurrogateLoss:
    """The loss of some steps. Its value does not measure progress: look at returns.

    Attributes:
        loss: Scalar to differentiate.
        policy_loss: Scalar to differentiate, the loss without the entropy bonus.
        log_probs: [B] log-probabilities of the actions taken (nats).
        entropy_sum: Scalar, the sum of the policy's entropies over the steps (nats).
    """

    loss: Tensor
    policy_loss: Tensor
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
    ``-log pi(a|s)`` in its place would have a gradient of mean zero, which is pure noise. Unlike
    the advantages, the entropy has neither importance weights nor gamma^t.

    Args:
        distribution: Over the actions of B steps.
        actions: [B, ...] as recorded.
        advantages: [B], constants.
        num_episodes: E, episodes in the whole batch, >= 1.
        entropy_coefficient: c >= 0.

    Source: Williams (1992), Machine Learning 8; Williams & Peng (1991) for the entropy.
    """
    log_probs = distribution.log_prob(actions)
    with torch.set_grad_enabled(entropy_coefficient > 0):
        entropy_sum = distribution.entropy().sum()
    credit = (log_probs * advantages).sum()
    objective = credit + entropy_coefficient * entropy_sum
    return SurrogateLoss(
        -objective / num_episodes,
        -credit / num_episodes,
        log_probs.detach(),
        entropy_sum.detach(),
    )


MAX_KL_STATES = 1024
"""States, evenly spread over the batch, for comparing two versions without ``max_kl``."""


def signal_and_noise(
    group_gradients: Sequence[NDArray[np.float64]], group_sizes: Sequence[int]
) -> tuple[float, float]:
    """Return estimates of ``|E g|^2`` and of ``tr Var(g)`` for the gradient g of a batch.

    The batch is M groups of ``n_m`` episodes, E together, and g the mean over all of them. The mean
    of a group differs from g by the noise of ``n_m`` episodes, so with the variance of one episode
    estimated from all groups,

        noise = sum_m n_m |g_m - g|^2 / (E (M - 1))    and    signal = |g|^2 - noise.

    Both are unbiased, whatever the sizes; the signal may come out below 0. Their ratio is not
    unbiased: average each over several batches before dividing. Below 1 an update is mostly noise;
    the ratio grows in proportion to the number of episodes. Baselines that average over the other
    episodes make the groups slightly dependent, an error of order 1/E.

    Args:
        group_gradients: M vectors [P], each the mean over the episodes of one group.
        group_sizes: M numbers of episodes, >= 1.

    Returns:
        (NaN, NaN) for fewer than two groups.

    Source: McCandlish et al. (2018), arXiv:1812.06162, appendix A; for unequal groups the mean
    square within them of an analysis of variance.
    """
    if len(group_gradients) < 2:
        return float("nan"), float("nan")
    gradients, sizes = np.stack(group_gradients), np.array(group_sizes, np.float64)
    mean = sizes @ gradients / sizes.sum()
    squares = ((gradients - mean) ** 2).sum(axis=1)
    noise = float(sizes @ squares) / (float(sizes.sum()) * (len(sizes) - 1))
    return float(mean @ mean) - noise, noise


def kl_divergence(before: Sequence[TorchDistribution], after: Sequence[TorchDistribution]) -> float:
    """Return the mean of KL(before || after) over the states of all parts, in nats.

    Returns:
        A number >= 0; NaN if it is undefined in a state, as after a step that makes weights
        overflow.
    """
    pairs = zip(before, after, strict=True)
    terms = torch.cat([new.kl_from(old) for old, new in pairs])
    mean = float(terms.double().mean())
    return mean if isnan(mean) else max(0.0, mean)  # rounding may take it below 0
