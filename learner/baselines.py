"""Baselines from the batch itself: the mean of *other* episodes, subtracted to lower the variance.

A baseline costs no bias as long as it is independent of the action it is subtracted for:
``E[grad log pi(a|s) b] = 0``. Pure functions of float64 arrays. Baselines that are fitted on
earlier batches are in ``learner.linear_baseline`` and ``learner.value_baseline``.
"""

import numpy as np
from numpy.typing import NDArray

from learner.returns import episode_starts, step_indices


def leave_one_out(
    returns: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the mean (discounted) return of the other episodes, constant along an episode.

    ``b_i = sum_{j != i} G_j[0] / (E - 1)``. Unbiased for E >= 2. It suits returns that are decided
    at the end; where the reward-to-go shrinks along an episode, ``time`` removes more variance.

    Args:
        returns: [B] importance-weighted where the data is stale; only first steps are read.
        episode_lengths: [E] steps of each episode, with sum B.

    Raises:
        ValueError: There are fewer than two episodes.

    Source: Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE Samples, Get a Baseline for Free!".
    """
    num_episodes = len(episode_lengths)
    if num_episodes < 2:
        raise ValueError(f"leave-one-out needs at least 2 episodes, not {num_episodes}")
    firsts = returns[episode_starts(episode_lengths)]
    return np.repeat((firsts.sum() - firsts) / (num_episodes - 1), episode_lengths)


def time_leave_one_out(
    returns: NDArray[np.float64],
    episode_lengths: NDArray[np.int64],
    reach: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return [B] the mean return, at the same step, of the other episodes that reach it.

    ``b_i[t] = sum_j G_j[t] / sum_j reach_j[t]`` over ``j != i`` with ``T_j > t``, or 0 where no
    other episode reaches ``t``. Unbiased: it depends on the time and on other episodes, never on
    the episode's own actions.

    Args:
        returns: [B] reward-to-go or total return, importance-weighted where the data is stale.
        episode_lengths: [E] steps of each episode, with sum B.
        reach: [B] weight with which an episode gets to each step (``ImportanceWeights.reach``);
            None for data of the current policy, where it is 1.
    """
    steps = step_indices(episode_lengths)
    weights = np.ones_like(returns) if reach is None else reach
    other_returns = np.bincount(steps, weights=returns)[steps] - returns
    other_weights = np.bincount(steps, weights=weights)[steps] - weights
    has_others = np.bincount(steps)[steps] > 1
    return np.where(has_others, other_returns / np.where(has_others, other_weights, 1.0), 0.0)
