"""Collects the steps of several episodes as they happen and returns them sorted into episodes.

How probable the actions were is computed for thousands of steps at a time
(docs/decisions/0071-log-probabilities-in-blocks.md).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.distributions import make_distribution
from reinforce.learner.policies.spaces import ObservationLayout
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.observations import ObservationRows
from reinforce.workers.tickets import Ticket

_INITIAL_CAPACITY_STEPS = 4096
_BLOCK_STEPS = 4096
"""Steps whose parameters are kept for their log-probabilities: enough to make calls cheap."""


class TrajectoryBuilder:
    """Growing flat arrays: rows arrive in the order of time, mixed over the lanes."""

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
        seen: ObservationRows,
        actions: NDArray[Any],
        parameters: NDArray[np.float32] | None,
        rewards: NDArray[Any] | list[float],
    ) -> None:
        """Append one step of each of n episodes: what was seen, done, paid and allowed.

        Args:
            episodes: [n] numbers of the episodes.
            seen: What the policy saw.
            actions: [n, ...] what it did.
            parameters: [n, ...] of the distribution that the actions were drawn from; None for
                greedy actions, whose log-probabilities are recorded as 0.
            rewards: [n] what was paid.
        """
        start, end = self._num_steps, self._num_steps + len(episodes)
        while end > len(self._episodes):
            self._double()
        if parameters is None:
            self._block_start = end
        else:
            self._keep_parameters(parameters)
        self._episodes[start:end] = episodes
        self._observations[start:end] = seen.observations
        self._actions[start:end] = actions
        self._rewards[start:end] = rewards
        if self._masks is not None:
            self._masks[start:end] = seen.masks
        self._num_steps = end

    def num_steps_of(self, episode: int) -> int:
        """Return how many steps of an episode are recorded by now."""
        return int(np.count_nonzero(self._episodes[: self._num_steps] == episode))

    def end_episode(
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
        """Keep a copy: the memory may be that of a recurrent policy's state."""
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
        parameters = self._block[: rows.stop - rows.start]
        if len(parameters):
            self._log_probs[rows] = self._distribution.log_prob(parameters, self._actions[rows])
        self._block_start = self._num_steps

    def _double(self) -> None:
        names = ("_episodes", "_observations", "_actions", "_log_probs", "_rewards", "_masks")
        for name in names:
            old = getattr(self, name)
            if old is not None:
                new = np.zeros((2 * len(old), *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)


class NonFiniteError(Exception):
    """An environment gave a reward or an observation that is NaN or infinite."""


def check_finite(ticket: Ticket, trajectories: Trajectories, layout: ObservationLayout) -> None:
    """Raise NonFiniteError that names part, step, episode and ticket of a NaN or an infinity."""
    rows = _rows_not_finite(trajectories.rewards)
    if len(rows):
        episode, step = _place_of(int(rows[0]), trajectories)
        raise NonFiniteError(
            f"the reward is {trajectories.rewards[rows[0]]}, and every return would be lost with "
            f"it, in {ticket.place(episode, step + 1)}"
        )
    vectors = layout.vector(trajectories.observations)
    rows = _rows_not_finite(vectors)
    if len(rows):
        episode, step = _place_of(int(rows[0]), trajectories)
        raise NonFiniteError(
            f"{_named(vectors[rows[0]], layout)}, in {ticket.place(episode, step)}"
        )


def check_finite_ends(
    ticket: Ticket, trajectories: Trajectories, layout: ObservationLayout
) -> None:
    """Raise NonFiniteError for what stood at a truncated episode's end, where it has a value."""
    vectors = layout.vector(trajectories.final_observations)
    cut = trajectories.truncated & ~trajectories.terminated
    for episode in _rows_not_finite(vectors):
        if cut[episode]:
            step = int(trajectories.episode_lengths[episode])
            raise NonFiniteError(
                f"{_named(vectors[episode], layout)}, in {ticket.place(int(episode), step)}"
            )


def _place_of(row: int, trajectories: Trajectories) -> tuple[int, int]:
    """Return the episode of a row, and how many steps were made before it."""
    ends = np.cumsum(trajectories.episode_lengths)
    episode = int(np.searchsorted(ends, row, side="right"))
    return episode, row - int(ends[episode] - trajectories.episode_lengths[episode])


def _named(vector: NDArray[np.float32], layout: ObservationLayout) -> str:
    """Return words for the first part of a [vector_size] observation that is not finite."""
    start = 0
    for leaf in layout.vector_leaves:
        part = vector[start : start + leaf.size]
        start += leaf.size
        if not np.isfinite(part).all():
            break
    place = f" at {leaf.name!r}" if leaf.path else ""
    index = int(np.flatnonzero(~np.isfinite(part))[0])
    where = np.unravel_index(index, leaf.shape) if leaf.shape else ()
    component = f" in component [{', '.join(map(str, where))}]" if where else ""
    return f"the observation{place} is {part[index]}{component}"


def _rows_not_finite(values: NDArray[Any]) -> NDArray[np.int64]:
    finite = np.isfinite(values)
    if finite.all():
        return np.empty(0, np.int64)
    return np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))


def num_unknown(layout: ObservationLayout, observations: NDArray[Any]) -> int:
    """Return in how many of [n, ...] rows a category is outside its space: all of its zeros.

    Numbers outside the bounds of their Box are not counted: the bounds are not used.
    """
    counts = [count for leaf in layout.vector_leaves for count in leaf.counts]
    if not counts:
        return 0
    starts = np.cumsum([0, *counts[:-1]])
    one_hot = layout.vector(observations)[:, ~layout.is_continuous]
    is_unknown = np.add.reduceat(one_hot, starts, axis=1) == 0
    return int(is_unknown.any(axis=1).sum())
