"""Whole episodes on their way from a worker to the learner: flat, concatenated, unpadded."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.weights import arrays_sha256

_PER_EPISODE = ("episode_lengths", "terminated", "truncated", "final_observations")


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The recorded episodes of one ticket, or of a batch of them.

    ``B`` is the number of steps, ``E`` the number of episodes. Episodes stand one after the other,
    in the order of the ticket, each in the order of time: episode ``e`` occupies the rows from
    ``sum(episode_lengths[:e])`` on.

    Attributes:
        policy_version: Version of the weights that played.
        observations: [B, ...] what the policy saw before each action, rows of
            ``ObservationLayout``.
        actions: [B, ...] what it did, as rows of ``ActionLayout``.
        rewards: [B] float64, in the environment's unit; ``rewards[t]`` was paid for ``actions[t]``.
        behavior_log_probs: [B] float32, log-probability (nats) of the action when it was taken.
            The learner recomputes its own; these measure drift and staleness.
        episode_lengths: [E] int64, steps, each >= 1.
        terminated: [E] bool, the environment reached a terminal state.
        truncated: [E] bool, a time limit ended the episode. Both may be true.
        final_observations: [E, ...] what the policy saw after the last action.
        action_masks: [B, num_choices] which choices were allowed; None if all always are.

    Raises:
        ValueError: The shapes contradict each other, or an episode is empty or has no end.
    """

    policy_version: int
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    behavior_log_probs: NDArray[np.float32]
    episode_lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observations: NDArray[Any]
    action_masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        num_steps, num_episodes = len(self.rewards), len(self.episode_lengths)
        if num_episodes == 0 or (self.episode_lengths < 1).any():
            raise ValueError(
                f"episode_lengths = {self.episode_lengths} must all be >= 1, and at least one"
            )
        if int(self.episode_lengths.sum()) != num_steps:
            raise ValueError(
                f"episode_lengths have the sum {self.episode_lengths.sum()}, but rewards hold "
                f"{num_steps}"
            )
        for name in self.array_names:
            unit = "episodes" if name in _PER_EPISODE else "steps"
            expected = num_episodes if name in _PER_EPISODE else num_steps
            if len(getattr(self, name)) != expected:
                raise ValueError(f"{name} hold {len(getattr(self, name))} {unit}, not {expected}")
        if not (self.terminated | self.truncated).all():
            raise ValueError("an episode is neither terminated nor truncated: it was not finished")

    @property
    def num_steps(self) -> int:
        """``B``."""
        return len(self.rewards)

    @property
    def num_episodes(self) -> int:
        """``E``."""
        return len(self.episode_lengths)

    @property
    def episode_returns(self) -> NDArray[np.float64]:
        """[E] undiscounted sum of the rewards of each episode, in the environment's unit."""
        return np.add.reduceat(self.rewards, episode_starts(self.episode_lengths))

    @property
    def episode_log_probs(self) -> NDArray[np.float64]:
        """[E] mean over each episode's steps of the behavior policy's log-probability, in nats."""
        totals = np.add.reduceat(
            self.behavior_log_probs, episode_starts(self.episode_lengths), dtype=np.float64
        )
        means: NDArray[np.float64] = totals / self.episode_lengths
        return means

    @property
    def array_names(self) -> list[str]:
        """Names of the attributes that are arrays here."""
        names = [field.name for field in fields(self) if field.name != "policy_version"]
        return [name for name in names if getattr(self, name) is not None]

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the version and every bit of the arrays."""
        arrays = {name: getattr(self, name) for name in self.array_names}
        return arrays_sha256({**arrays, "policy_version": np.array(self.policy_version)})


def concatenate(parts: Sequence[Trajectories]) -> Trajectories:
    """Return the trajectories of several tickets as one batch, in the order given.

    Raises:
        ValueError: There are none, or different versions of the policy played them.
    """
    versions = {part.policy_version for part in parts}
    if len(versions) != 1:
        raise ValueError(f"a batch needs trajectories of one policy version, not of {versions}")
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in parts[0].array_names
    }
    return Trajectories(policy_version=versions.pop(), **arrays)


def consecutive(batch: Trajectories, first: int, end: int) -> Trajectories:
    """Return the episodes from ``first`` up to ``end``, at least one, as views of a batch."""
    lengths = batch.episode_lengths
    row = int(lengths[:first].sum())
    rows = slice(row, row + int(lengths[first:end].sum()))
    arrays = {
        name: getattr(batch, name)[slice(first, end) if name in _PER_EPISODE else rows]
        for name in batch.array_names
    }
    return Trajectories(policy_version=batch.policy_version, **arrays)


def select(batch: Trajectories, episodes: NDArray[np.int64]) -> Trajectories:
    """Return some episodes of a batch, at least one, by their numbers and in this order."""
    rows = rows_of(batch, episodes)
    arrays = {
        name: getattr(batch, name)[episodes if name in _PER_EPISODE else rows]
        for name in batch.array_names
    }
    return Trajectories(policy_version=batch.policy_version, **arrays)


def rows_of(batch: Trajectories, episodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the steps of some episodes of a batch, in this order."""
    lengths = batch.episode_lengths[episodes]
    first = episode_starts(batch.episode_lengths)[episodes]
    return np.repeat(first, lengths) + step_indices(lengths)


def episode_starts(episode_lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [E] the row at which each episode starts."""
    starts: NDArray[np.int64] = np.cumsum(episode_lengths) - episode_lengths
    return starts


def step_indices(episode_lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [B] the position ``t`` of each step within its episode, from 0."""
    starts = np.repeat(episode_starts(episode_lengths), episode_lengths)
    return np.arange(len(starts)) - starts
