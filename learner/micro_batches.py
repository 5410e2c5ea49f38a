"""How a batch is cut for the learner: into groups of episodes, and those into micro-batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import GRADIENT_GROUPS


@dataclass(frozen=True)
class MicroBatch:
    """Rows for one forward and backward pass.

    Attributes:
        rows: Which rows of the batch.
        episode_lengths: If the rows are whole episodes, their steps; None if they may be cut
            anywhere.
    """

    rows: slice | NDArray[np.int64]
    episode_lengths: NDArray[np.int64] | None


def episode_groups(num_episodes: int) -> list[tuple[int, int]]:
    """Return (first, end) of consecutive parts of a batch's episodes, equal in size up to one."""
    borders = np.linspace(0, num_episodes, min(GRADIENT_GROUPS, num_episodes) + 1).astype(int)
    return [(int(first), int(end)) for first, end in pairwise(borders)]


def micro_batches(
    episode_lengths: NDArray[np.int64],
    episodes: tuple[int, int],
    max_steps: int,
    *,
    whole_episodes: bool,
) -> Iterator[MicroBatch]:
    """Yield the rows of some consecutive episodes, at most ``max_steps`` at a time.

    Args:
        episode_lengths: [E] of the batch.
        episodes: (first, end) of the episodes.
        max_steps: Limit of one micro-batch, >= 1; a whole episode may be longer.
        whole_episodes: Cut only between episodes, as a recurrent policy requires.
    """
    first, last = episodes
    ends = np.cumsum(episode_lengths)
    start, end = int(ends[first] - episode_lengths[first]), int(ends[last - 1])
    if not whole_episodes:
        for row in range(start, end, max_steps):
            yield MicroBatch(slice(row, min(row + max_steps, end)), None)
        return
    while first < last:
        fitting = int(np.searchsorted(ends[:last], start + max_steps, side="right"))
        border = max(fitting, first + 1)
        yield MicroBatch(slice(start, int(ends[border - 1])), episode_lengths[first:border])
        first, start = border, int(ends[border - 1])


def some_states(
    episode_lengths: NDArray[np.int64], num_steps: int, *, whole_episodes: bool
) -> MicroBatch:
    """Return about ``num_steps`` rows, evenly spread over a batch, as rows or whole episodes."""
    every = 1 + int(episode_lengths.sum()) // num_steps
    if not whole_episodes:
        return MicroBatch(slice(None, None, every), None)
    is_chosen = np.arange(len(episode_lengths)) % every == 0
    rows = np.flatnonzero(np.repeat(is_chosen, episode_lengths))
    return MicroBatch(rows, episode_lengths[is_chosen])
