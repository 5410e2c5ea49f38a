"""Baselines: what is subtracted from the reward-to-go to lower its variance without bias.

Each is independent of the action it is subtracted for, because it looks only at *other* episodes of
the batch: ``E[grad log pi(a|s) b] = 0``. Pure functions of float64 arrays.
"""

import numpy as np
from numpy.typing import NDArray

from configs.learning import Baseline
from learner.returns import step_indices


def baseline_values(
    kind: Baseline, rewards_to_go: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the baseline of each step of a batch.

    Args:
        kind: ``none``, ``leave_one_out`` or ``time``.
        rewards_to_go: [B] of episodes one after the other.
        episode_lengths: [E] steps of each, with sum B.
    """
    if kind == "none":
        return np.zeros_like(rewards_to_go)
    if kind == "leave_one_out":
        return leave_one_out(rewards_to_go, episode_lengths)
    return time_leave_one_out(rewards_to_go, episode_lengths)


def leave_one_out(
    rewards_to_go: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the mean (discounted) return of the other episodes, constant along an episode.

    ``b_i = sum_{j != i} G_j[0] / (E - 1)``. Unbiased for E >= 2. It suits returns that are decided
    at the end; where the reward-to-go shrinks along an episode, ``time`` removes more variance.

    Raises:
        ValueError: There are fewer than two episodes.

    Source: Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE Samples, Get a Baseline for Free!".
    """
    num_episodes = len(episode_lengths)
    if num_episodes < 2:
        raise ValueError(f"leave-one-out needs at least 2 episodes, not {num_episodes}")
    returns = rewards_to_go[np.cumsum(episode_lengths) - episode_lengths]
    return np.repeat((returns.sum() - returns) / (num_episodes - 1), episode_lengths)


def time_leave_one_out(
    rewards_to_go: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the mean reward-to-go, at the same step, of the other episodes that reach it.

    ``b_i[t] = mean over j != i with T_j > t of G_j[t]``, or 0 where no other episode reaches ``t``.
    Unbiased: it depends on the time and on other episodes, never on the episode's own actions.
    """
    steps = step_indices(episode_lengths)
    totals = np.bincount(steps, weights=rewards_to_go)
    others = np.bincount(steps)[steps] - 1
    return np.where(others > 0, (totals[steps] - rewards_to_go) / np.maximum(others, 1), 0.0)
