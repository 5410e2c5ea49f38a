"""Returns, with which actions are credited. Pure functions in float64."""

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.trajectories import episode_starts


def rewards_to_go(
    rewards: NDArray[np.float64], episode_lengths: NDArray[np.int64], discount: float
) -> NDArray[np.float64]:
    """Return the discounted sum of the rewards from each step to the end of its episode.

    ``G[t] = rewards[t] + discount * G[t + 1]``, and ``G`` is 0 after the last step, whether the
    episode was terminated or truncated. This is unbiased if the objective counts rewards up to the
    time limit; for a task without an end, it cuts truncated episodes short.

    Args:
        rewards: [B] of episodes one after the other, in the environment's unit.
        episode_lengths: [E] steps of each, >= 1, with sum B.
        discount: gamma in [0, 1], per step.

    Returns:
        [B] float64.

    Raises:
        ValueError: ``discount`` is outside [0, 1], or the lengths do not add up to B.

    Source: Williams (1992), Machine Learning 8; Sutton & Barto (2018), sections 3.3 and 13.3.
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"discount = {discount} must be in [0, 1]")
    if int(episode_lengths.sum()) != len(rewards):
        raise ValueError(f"episode_lengths sum to {episode_lengths.sum()}, not to {len(rewards)}")
    # One step backwards in time for all episodes at once. Longest first, so that the episodes
    # which reach k steps before their end are always a prefix.
    order = np.argsort(-episode_lengths, kind="stable")
    last_steps = (np.cumsum(episode_lengths) - 1)[order]
    shortest_first = np.sort(episode_lengths)
    steps_back = np.arange(1, shortest_first[-1])
    counts = len(order) - np.searchsorted(shortest_first, steps_back, side="right")
    result = np.array(rewards, dtype=np.float64)
    rows = last_steps
    to_go = result[rows]
    for count in counts.tolist():
        rows = rows[:count] - 1
        to_go = result[rows] + discount * to_go[:count]
        result[rows] = to_go
    return result


def total_returns(
    rewards: NDArray[np.float64], episode_lengths: NDArray[np.int64], discount: float
) -> NDArray[np.float64]:
    """Return [B] the discounted return of the whole episode, the same at each of its steps.

    The first form of the theorem, which still includes rewards before the action: unbiased, with
    more variance. Arguments and errors as for ``rewards_to_go``.
    """
    to_go = rewards_to_go(rewards, episode_lengths, discount)
    return np.repeat(to_go[episode_starts(episode_lengths)], episode_lengths)


def with_entropy(
    rewards: NDArray[np.float64], log_probs: NDArray[np.float64], entropy_reward: float
) -> NDArray[np.float64]:
    """Return [B] ``r_t - alpha log pi(a_t|s_t)``: rewards whose expectation includes entropy.

    As constants they give the exact gradient of ``E[sum_t gamma^t (r_t + alpha H(pi(.|s_t)))]``:
    that of the logarithms themselves is ``-alpha E[sum_t gamma^t grad log pi(a_t|s_t)] = 0``.

    Args:
        rewards: [B] in the environment's unit.
        log_probs: [B] of the actions under the policy being differentiated (nats), even if an
            earlier one acted.
        entropy_reward: alpha >= 0, in the environment's unit per nat.

    Source: Schulman, Chen & Abbeel (2017), arXiv:1704.06440; Levine (2018), arXiv:1805.00909,
    section 4.1.
    """
    return rewards - entropy_reward * log_probs


def next_values(
    values: NDArray[np.float64],
    episode_lengths: NDArray[np.int64],
    *,
    after_last: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return [B] the value at the next step of the episode; after its last one, ``after_last`` [E].

    Args:
        values: [B] one per step.
        episode_lengths: [E] steps of each episode, with sum B.
        after_last: [E] the value after the last step of each episode.
    """
    following = np.empty_like(values)
    following[:-1] = values[1:]
    following[np.cumsum(episode_lengths) - 1] = after_last
    return following
