"""Importance weights: how to learn from episodes that an earlier version of the policy played.

``rho_t = pi(a_t|s_t) / mu(a_t|s_t)`` is the ratio of the policy being differentiated to the one
that acted. Weights are computed from logarithms and are constants: no gradient passes through them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import ImportanceCorrection
from reinforce.learner.policies.trajectories import episode_starts, step_indices

_MAX_LOG_WEIGHT = 30.0
"""Limit of the logarithm: exp(30) is 1e13, far beyond any use, but far from overflow in float32."""


@dataclass(frozen=True)
class ImportanceWeights:
    """Weights of a batch, all [B] float64 and >= 0.

    Attributes:
        prefix: Weight of the part of each step that the baseline did not predict.
        step: Weight of the whole term of each step.
        reach: ``prefix`` of the step before, 1 at the first: how much more often pi reaches this
            step.
    """

    prefix: NDArray[np.float64]
    step: NDArray[np.float64]
    reach: NDArray[np.float64]


def importance_weights(
    kind: ImportanceCorrection,
    log_ratios: NDArray[np.float64],
    episode_lengths: NDArray[np.int64],
    *,
    cap: float | None = None,
    self_normalize: bool = False,
) -> ImportanceWeights:
    """Return the importance weights of a batch.

    ``per_decision``: ``prefix[k] = prod_{j <= k} rho_j``. A reward depends only on actions up to
    its time, so this is exact: ``E_mu`` of the estimate equals ``E_pi`` of the unweighted one.
    That is a gradient for gamma = 1, or with gamma^t in front. Only what the baseline did not
    predict is weighted, so whatever a cap removes falls back on the baseline.
    Source: Precup, Sutton & Singh (2000), "Eligibility Traces for Off-Policy Policy Evaluation";
    Jiang & Li (2016), arXiv:1511.03722, and Huang & Jiang (2020), arXiv:1910.09066.

    ``per_step``: ``step[t] = rho_t`` alone, as in PPO's ratio. Corrects the action, but not how
    often its state is reached, nor the return that follows: biased by these omissions.

    ``none``: all weights 1, biased by the whole change of the policy.

    Args:
        kind: ``none``, ``per_step`` or ``per_decision``.
        log_ratios: [B] log rho (nats).
        episode_lengths: [E] steps of each episode, with sum B.
        cap: Larger weights are reduced to this, >= 1: less variance, with a bias toward the
            baseline's prediction of late rewards.
        self_normalize: Divide by the mean weight at the same step: less variance, with a bias that
            vanishes as E grows (``per_decision``; for ``per_step`` it adds to the correction's own
            bias).
    """
    ones = np.ones_like(log_ratios)
    if kind == "none" or not log_ratios.any():  # one policy: every product of ratios is 1
        return ImportanceWeights(ones, ones, ones)
    if kind == "per_step":
        step = np.exp(np.minimum(log_ratios, _MAX_LOG_WEIGHT))
        if self_normalize:
            steps = step_indices(episode_lengths)
            step /= (np.bincount(steps, weights=step) / np.bincount(steps))[steps]
        step = step if cap is None else np.minimum(step, cap)
        return ImportanceWeights(ones, step, ones)
    sums = np.cumsum(log_ratios)
    starts = episode_starts(episode_lengths)
    log_prefix = sums - np.repeat(sums[starts] - log_ratios[starts], episode_lengths)
    prefix = np.exp(np.minimum(log_prefix, _MAX_LOG_WEIGHT))
    if self_normalize:
        prefix /= _mean_prefix(prefix, episode_lengths)
    prefix = prefix if cap is None else np.minimum(prefix, cap)
    reach = np.concatenate([[1.0], prefix[:-1]])
    reach[starts] = 1.0
    return ImportanceWeights(prefix, ones, reach)


def effective_sample_size(
    log_ratios: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> float:
    """Return ``(sum w)^2 / (E sum w^2)`` of the weights of whole episodes, in (0, 1].

    The share of episodes that would carry as much information if pi had played them. Source: Kish
    (1965), "Survey Sampling"; Owen (2013), "Monte Carlo", section 9.3.
    """
    log_weights = np.add.reduceat(log_ratios, episode_starts(episode_lengths))
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))


def _mean_prefix(
    prefix: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the mean prefix weight of *all* episodes at each step.

    Its expectation is 1. An episode that has ended counts with its last weight. The mean over
    continuing ones alone would tend to the ratio of how often the two policies reach the step, and
    dividing by it would undo the correction.
    """
    steps = step_indices(episode_lengths)
    last = prefix[np.cumsum(episode_lengths) - 1]
    ended = np.concatenate([[0.0], np.cumsum(np.bincount(episode_lengths, weights=last))[1:]])
    total = np.bincount(steps, weights=prefix) + ended[: int(episode_lengths.max())]
    means: NDArray[np.float64] = total[steps] / len(episode_lengths)
    return means
