"""Baselines, subtracted to lower the variance: means of *other* episodes, and a linear fit.

A baseline adds no bias if it is independent of the action it is subtracted for, given what happened
before: ``E[grad log pi(a|s) b] = 0``. The value function is in
``learner.advantages.value_baseline``.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.trajectories import Trajectories, episode_starts, step_indices


def leave_one_out(
    returns: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] the mean (discounted) return of the other episodes, constant along an episode.

    ``b_i = sum_{j != i} G_j[0] / (E - 1)``. Unbiased for E >= 2. It suits returns that are decided
    at the end; if the reward-to-go shrinks along an episode, ``time`` removes more variance.

    Args:
        returns: [B] reward-to-go or total return; only first steps are read.
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

    ``b_i[t] = sum_j G_j[t] / sum_j reach_j[t]`` over ``j != i`` with ``T_j > t``, or 0 if no other
    episode reaches ``t``. Unbiased: it depends on the time and on other episodes, never on the
    episode's own actions.

    Args:
        returns: [B] reward-to-go or total return, importance-weighted if the data is stale.
        episode_lengths: [E] steps of each episode, with sum B.
        reach: [B] weight with which an episode reaches each step (``ImportanceWeights.reach``);
            None for data of the current policy, where it is 1.
    """
    steps = step_indices(episode_lengths)
    counts = np.bincount(steps)[steps]
    if reach is None or (reach == 1.0).all():
        other_returns = np.bincount(steps, weights=returns)[steps] - returns
        other_weights = counts - 1.0
    else:
        other_returns, other_weights = _sums_of_others(np.stack([returns, reach]), steps)
    known = (counts > 1) & (other_weights > 0)
    return np.where(known, other_returns / np.where(known, other_weights, 1.0), 0.0)


def _sums_of_others(values: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [n, B] for each row the sum over the other rows at the same step.

    Adds the sum of earlier rows to the sum of later ones: subtracting a row from the total would
    lose the others if its weight is many orders of magnitude larger.
    """
    order = np.argsort(steps, kind="stable")
    borders = np.concatenate([[0], np.cumsum(np.bincount(steps))])
    result = np.zeros_like(values)
    for first, end in pairwise(borders):
        rows = order[first:end]
        group = values[:, rows]
        result[:, rows[1:]] += np.cumsum(group, axis=1)[:, :-1]
        result[:, rows[:-1]] += np.cumsum(group[:, ::-1], axis=1)[:, -2::-1]
    return result


_RIDGE = 1e-5
_OBSERVATION_LIMIT = 10.0
_STEPS_PER_UNIT = 100.0


class LinearBaseline:
    """``b(s, t) = coefficients . features(s, t)``; 0 before the first fit.

    Unbiased, because the coefficients are known before the batch is played. Fitted by least squares
    with a ridge of 1e-5 per step on [o, o^2, t, t^2, t^3, 1], with o clipped to +-10 and t in units
    of 100 steps.

    Source: Duan et al. (2016), arXiv:1604.06778, for the features.
    """

    def __init__(self) -> None:
        self.coefficients: NDArray[np.float64] = np.zeros(0)

    def values(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [B] the baseline of each step."""
        if len(self.coefficients) == 0:
            return np.zeros(batch.num_steps)
        values: NDArray[np.float64] = _features(batch) @ self.coefficients
        return values

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Fit the coefficients to [B] rewards-to-go, for later batches."""
        features = _features(batch)
        gram = features.T @ features + _RIDGE * batch.num_steps * np.eye(features.shape[1])
        self.coefficients = np.linalg.solve(gram, features.T @ targets).astype(np.float64)


def _features(batch: Trajectories) -> NDArray[np.float64]:
    flat = batch.observations.reshape(batch.num_steps, -1).astype(np.float64)
    clipped = np.clip(flat, -_OBSERVATION_LIMIT, _OBSERVATION_LIMIT)
    time = step_indices(batch.episode_lengths)[:, None] / _STEPS_PER_UNIT
    return np.hstack([clipped, clipped**2, time, time**2, time**3, np.ones_like(time)])
