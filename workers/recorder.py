"""Collects the steps of several episodes as they happen and returns them sorted into episodes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.trajectories import Trajectories
from workers.environment import EnvironmentSpec
from workers.observations import ObservationRows

_INITIAL_CAPACITY_STEPS = 4096


class Recorder:
    """Growing flat arrays: rows arrive in the order of time, mixed over the lanes."""

    def __init__(self, num_episodes: int, spec: EnvironmentSpec) -> None:
        self._num_steps = 0
        capacity = _INITIAL_CAPACITY_STEPS
        self._episodes = np.empty(capacity, np.int32)
        self._observations = spec.observation.empty(capacity)
        self._actions = spec.action.empty(capacity)
        self._log_probs = np.empty(capacity, np.float32)
        self._rewards = np.empty(capacity, np.float64)
        has_masks = spec.action_mask is not None
        self._masks = np.empty((capacity, spec.action.num_choices), np.bool_) if has_masks else None
        self._terminated = np.zeros(num_episodes, np.bool_)
        self._truncated = np.zeros(num_episodes, np.bool_)
        self._final_observations = spec.observation.empty(num_episodes)

    def record_steps(
        self,
        episodes: NDArray[np.integer[Any]],
        seen: ObservationRows,
        actions: NDArray[Any],
        log_probs: NDArray[np.float32],
        rewards: NDArray[Any] | list[float],
    ) -> None:
        """Append one step of each of n episodes: what was seen, done, paid and allowed."""
        start, end = self._num_steps, self._num_steps + len(episodes)
        while end > len(self._episodes):
            self._double()
        self._episodes[start:end] = episodes
        self._observations[start:end] = seen.observations
        self._actions[start:end] = actions
        self._log_probs[start:end] = log_probs
        self._rewards[start:end] = rewards
        if self._masks is not None:
            self._masks[start:end] = seen.masks
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
            action_masks=None if self._masks is None else self._masks[order],
        )

    def _double(self) -> None:
        names = ("_episodes", "_observations", "_actions", "_log_probs", "_rewards", "_masks")
        for name in names:
            old = getattr(self, name)
            if old is not None:
                new = np.empty((2 * len(old), *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
