"""That what is learned from holds neither NaN nor infinity; if it does, where it came from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.spaces import ObservationLayout
from learner.trajectories import Trajectories
from workers.ticket import Ticket


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
