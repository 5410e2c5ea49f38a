"""Collects steps of several episodes as they happen, and returns them sorted by episode.

Log-probabilities of actions are computed for thousands of steps at a time
(docs/decisions/0071-log-probabilities-in-blocks.md).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.distributions import Masks, make_distribution
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.environment import EnvironmentSpec

_INITIAL_CAPACITY_STEPS = 4096
_BLOCK_STEPS = 4096
"""Steps whose parameters are kept to compute their log-probabilities together."""


class TrajectoryBuilder:
    """Growing flat arrays: rows arrive in order of time, mixed over the lanes."""

    def __init__(self, num_episodes: int, spec: EnvironmentSpec) -> None:
        self._distribution = make_distribution(spec.action)
        self._num_steps = 0
        # The parameters of the steps whose log-probabilities are not known yet, from this one on.
        self._block_start = 0
        num_parameters = spec.action.num_outputs + spec.action.num_gaussians
        self._block = np.empty((_BLOCK_STEPS, num_parameters), np.float32)
        capacity = _INITIAL_CAPACITY_STEPS
        self._episodes = np.empty(capacity, np.int32)
        self._observations = spec.observation.empty(capacity)
        self._actions = spec.action.empty(capacity)
        self._log_probs = np.zeros(capacity, np.float32)
        self._rewards = np.empty(capacity, np.float64)
        has_masks = spec.action_mask is not None
        self._masks = np.empty((capacity, spec.action.num_choices), np.bool_) if has_masks else None
        self._terminated = np.zeros(num_episodes, np.bool_)
        self._truncated = np.zeros(num_episodes, np.bool_)
        self._final_observations = spec.observation.empty(num_episodes)

    def add_steps(
        self,
        episodes: NDArray[np.integer[Any]],
        observations: NDArray[Any],
        masks: Masks,
        actions: NDArray[Any],
        parameters: NDArray[np.float32] | None,
        rewards: NDArray[Any] | list[float],
    ) -> None:
        """Append one step of each of n episodes: observations, masks, actions and rewards.

        Everything is [n, ...]. The parameters are those of the distribution that the actions were
        drawn from; None for greedy actions, whose log-probabilities are recorded as 0.
        """
        start, end = self._num_steps, self._num_steps + len(episodes)
        while end > len(self._episodes):
            self._double()
        if parameters is None:
            self._block_start = end
        else:
            self._keep_parameters(parameters)
        self._episodes[start:end] = episodes
        self._observations[start:end] = observations
        self._actions[start:end] = actions
        self._rewards[start:end] = rewards
        if self._masks is not None:
            self._masks[start:end] = masks
        self._num_steps = end

    def num_steps_of(self, episode: int) -> int:
        """Return the number of recorded steps of an episode."""
        return int(np.count_nonzero(self._episodes[: self._num_steps] == episode))

    def next_step_of(self, episodes: NDArray[np.int64], row: int) -> tuple[int, int]:
        """Return the episode of a row, and the number of its step that is recorded next."""
        episode = int(episodes[row])
        return episode, self.num_steps_of(episode) + 1

    def end_episode(
        self, episode: int, observation: NDArray[Any], *, terminated: bool, truncated: bool
    ) -> None:
        """Record how an episode ended and its final observation."""
        self._terminated[episode] = terminated
        self._truncated[episode] = truncated
        self._final_observations[episode] = observation

    def trajectories(self, policy_version: int) -> Trajectories:
        """Return everything, episode by episode; ValueError if one is missing or unfinished."""
        self._end_block()
        episodes = self._episodes[: self._num_steps]
        # Stable: within an episode the rows keep the order of time.
        order = np.argsort(episodes, kind="stable")
        return Trajectories(
            policy_version=policy_version,
            observations=self._observations[order],
            actions=self._actions[order],
            rewards=self._rewards[order],
            behavior_log_probs=self._log_probs[order],
            episode_lengths=np.bincount(episodes, minlength=len(self._terminated)),
            terminated=self._terminated,
            truncated=self._truncated,
            final_observations=self._final_observations,
            action_masks=None if self._masks is None else self._masks[order],
        )

    def _keep_parameters(self, parameters: NDArray[np.float32]) -> None:
        """Keep a copy, because the memory may be a recurrent policy's state."""
        start = self._num_steps - self._block_start
        if start + len(parameters) > len(self._block):
            self._end_block()
            start = 0
            if len(parameters) > len(self._block):
                self._block = np.empty_like(parameters)
        self._block[start : start + len(parameters)] = parameters

    def _end_block(self) -> None:
        """Compute the log-probabilities that are due."""
        rows = slice(self._block_start, self._num_steps)
        parameters, actions = self._block[: rows.stop - rows.start], self._actions[rows]
        if len(actions):
            self._log_probs[rows] = self._distribution.log_prob(parameters, actions)
        self._block_start = self._num_steps

    def _double(self) -> None:
        names = ("_episodes", "_observations", "_actions", "_log_probs", "_rewards", "_masks")
        for name in names:
            old = getattr(self, name)
            if old is not None:
                new = np.zeros((2 * len(old), *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
