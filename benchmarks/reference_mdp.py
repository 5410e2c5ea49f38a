"""A decision problem so small that every expectation over it is a finite sum.

Two states, two actions, at most three steps, and episodes of variable length on purpose: whatever
selects or weights episodes by their length gives a wrong sum here. Also an environment of Gymnasium
(``reference_mdp:ReferenceMDP-v0``), to be sampled.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories

HORIZON = 3
# (state, action): reward, probability that the episode terminates, next state
DYNAMICS = {
    (0, 0): (1.0, 0.5, 0),
    (0, 1): (0.0, 0.0, 1),
    (1, 0): (3.0, 0.25, 1),
    (1, 1): (-1.0, 0.75, 0),
}
THETA = np.array([[0.2, -0.1], [-0.3, 0.4]])
"""Logits of the policy: [state, action]."""

ARCHITECTURE = PolicyArchitecture.mlp(
    observation_size=2, hidden_sizes=(), activation="tanh", num_actions=2
)
"""A linear network on the one-hot state: its weight matrix is THETA transposed, its bias 0."""


@dataclass(frozen=True)
class Path:
    """One way that an episode can go.

    Attributes:
        steps: (state, action, reward) of each step.
        terminated: It ended before the horizon cut it.
        final_state: The state after the last step.
        chance: Probability of what the environment did, given the actions.
    """

    steps: tuple[tuple[int, int, float], ...]
    terminated: bool
    final_state: int
    chance: float

    def log_probability(self, theta: np.ndarray) -> float:
        """Return the log-probability of the path under a policy."""
        return math.log(self.chance) + sum(log_pi(theta, s, a) for s, a, _ in self.steps)

    def total(self, discount: float, theta: np.ndarray, entropy_reward: float) -> float:
        """Return the discounted return, with a reward for the entropy of a policy."""
        return sum(
            discount**t * (reward - entropy_reward * log_pi(theta, state, action))
            for t, (state, action, reward) in enumerate(self.steps)
        )


def log_pi(theta: np.ndarray, state: int, action: int) -> float:
    """Return the log-probability of an action under a policy."""
    logits = theta[state]
    return float(logits[action] - math.log(sum(math.exp(value) for value in logits)))


def all_paths() -> list[Path]:
    """Return every way that an episode can go."""

    def continuations(state: int, step: int) -> Iterator[tuple[list[Any], bool, int, float]]:
        for action in (0, 1):
            reward, ends, following = DYNAMICS[state, action]
            head = (state, action, reward)
            if ends > 0:
                yield [head], True, following, ends
            if ends < 1 and step == HORIZON - 1:
                yield [head], False, following, 1 - ends
            elif ends < 1:
                for tail, terminated, final, chance in continuations(following, step + 1):
                    yield [head, *tail], terminated, final, (1 - ends) * chance

    return [
        Path(tuple(steps), terminated, final, chance)
        for steps, terminated, final, chance in continuations(0, 0)
    ]


def objective(theta: np.ndarray, discount: float, entropy_reward: float = 0.0) -> float:
    """Return the expected discounted return of a policy: a sum over all paths.

    Args:
        theta: Logits of the policy.
        discount: gamma.
        entropy_reward: alpha; each step earns alpha times the entropy of the policy in its state.
    """
    result = 0.0
    for path in all_paths():
        for t, (state, _, reward) in enumerate(path.steps):
            log_pis = [log_pi(theta, state, action) for action in (0, 1)]
            entropy = -sum(math.exp(x) * x for x in log_pis)
            earned = discount**t * (reward + entropy_reward * entropy)
            result += math.exp(path.log_probability(theta)) * earned
    return result


def true_gradient(
    discount: float, theta: np.ndarray = THETA, entropy_reward: float = 0.0
) -> np.ndarray:
    """Return [state, action] the gradient of the objective, by differentiating its definition.

    ``d/dtheta sum_p P(p) R(p) = sum_p P(p) (R(p) d log P(p) + d R(p))``, where ``R`` depends on
    theta by its ``-entropy_reward log pi``: no estimator is involved.
    """
    result = np.zeros_like(theta)
    for path in all_paths():
        probability = math.exp(path.log_probability(theta))
        total = path.total(discount, theta, entropy_reward)
        for t, (state, action, _) in enumerate(path.steps):
            for other in (0, 1):
                score = float(other == action) - math.exp(log_pi(theta, state, other))
                direct = -entropy_reward * discount**t
                result[state, other] += probability * (total + direct) * score
    return result


def one_hot(states: list[int]) -> np.ndarray:
    """Return [n, 2] observations."""
    return np.eye(2, dtype=np.float32)[states]


def as_trajectories(
    paths: tuple[Path, ...], behavior: np.ndarray = THETA, version: int = 0
) -> Trajectories:
    """Return paths as a worker would have recorded them under a behaviour policy."""
    steps = [step for path in paths for step in path.steps]
    terminated = np.array([path.terminated for path in paths])
    return Trajectories(
        policy_version=version,
        observations=one_hot([state for state, _, _ in steps]),
        actions=np.array([action for _, action, _ in steps]),
        rewards=np.array([reward for _, _, reward in steps]),
        behavior_log_probs=np.array([log_pi(behavior, s, a) for s, a, _ in steps], np.float32),
        episode_lengths=np.array([len(path.steps) for path in paths]),
        terminated=terminated,
        truncated=~terminated,
        final_observations=one_hot([path.final_state for path in paths]),
    )


def all_batches(
    num_episodes: int, behavior: np.ndarray = THETA, version: int = 0
) -> Iterator[tuple[float, Trajectories]]:
    """Yield (probability, batch) of every batch of so many episodes."""
    for paths in itertools.product(all_paths(), repeat=num_episodes):
        probability = math.exp(sum(path.log_probability(behavior) for path in paths))
        yield probability, as_trajectories(paths, behavior, version)


def flat_weights(theta: np.ndarray = THETA) -> np.ndarray:
    """Return a policy as the flat vector of ARCHITECTURE."""
    return np.concatenate([theta.T.ravel(), np.zeros(2)]).astype(np.float32)


def as_table(flat_gradient: np.ndarray) -> np.ndarray:
    """Return the [state, action] part of a flat gradient."""
    return flat_gradient[:4].reshape(2, 2).T


class ReferenceMDP(gymnasium.Env[np.ndarray, int]):
    """The problem as an environment."""

    def __init__(self) -> None:
        self.observation_space = Box(0.0, 1.0, (2,), np.float32)
        self.action_space = Discrete(2)
        self._state = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start in state 0."""
        super().reset(seed=seed)
        self._state = 0
        return one_hot([0])[0], {}

    def step(self, action: int) -> Any:
        """Pay, move, and perhaps end."""
        reward, ends, self._state = DYNAMICS[self._state, int(action)]
        terminated = bool(self.np_random.random() < ends)
        return one_hot([self._state])[0], reward, terminated, False, {}


if "ReferenceMDP-v0" not in gymnasium.registry:
    gymnasium.register("ReferenceMDP-v0", entry_point=ReferenceMDP, max_episode_steps=HORIZON)
