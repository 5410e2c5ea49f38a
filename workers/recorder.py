"""Collects the steps of several episodes as they happen and returns them sorted into episodes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.trajectories import Trajectories

_INITIAL_CAPACITY_STEPS = 4096


class Recorder:
    """Growing flat arrays: rows arrive in the order of time, mixed over the lanes."""

    def __init__(self, num_episodes: int, observation_shape: tuple[int, ...]) -> None:
        self._num_steps = 0
        self._episodes = np.empty(_INITIAL_CAPACITY_STEPS, np.int32)
        self._observations = np.empty((_INITIAL_CAPACITY_STEPS, *observation_shape), np.float32)
        self._actions = np.empty(_INITIAL_CAPACITY_STEPS, np.int64)
        self._log_probs = np.empty(_INITIAL_CAPACITY_STEPS, np.float32)
        self._rewards = np.empty(_INITIAL_CAPACITY_STEPS, np.float64)
        self._terminated = np.zeros(num_episodes, np.bool_)
        self._truncated = np.zeros(num_episodes, np.bool_)
        self._final_observations = np.zeros((num_episodes, *observation_shape), np.float32)

    def record_steps(
        self,
        episodes: NDArray[np.integer[Any]],
        observations: NDArray[Any],
        actions: NDArray[np.int64],
        log_probs: NDArray[np.float32],
        rewards: NDArray[Any] | list[float],
    ) -> None:
        """Append one step of each of n episodes: what was seen, done and paid."""
        start, end = self._num_steps, self._num_steps + len(episodes)
        while end > len(self._episodes):
            self._double()
        self._episodes[start:end] = episodes
        self._observations[start:end] = observations
        self._actions[start:end] = actions
        self._log_probs[start:end] = log_probs
        self._rewards[start:end] = rewards
        self._num_steps = end

    def record_end(
        self, episode: int, observation: NDArray[Any], *, terminated: bool, truncated: bool
    ) -> None:
        """Note how an episode ended and what stood after its last action."""
        self._terminated[episode] = terminated
        self._truncated[episode] = truncated
        self._final_observations[episode] = observation

    def trajectories(self, policy_version: int) -> Trajectories:
        """Return everything, episode by episode.

        Raises:
            ValueError: An episode is missing or was not finished.
        """
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
        )

    def _double(self) -> None:
        for name in ("_episodes", "_observations", "_actions", "_log_probs", "_rewards"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.empty_like(old)]))
