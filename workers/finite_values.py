"""Finds the first value of a ticket that is not finite, before the policy can act on it.

A policy turns a NaN into an action like any other, and the environment that receives it into a
reward that is NaN: what was found later would blame the wrong step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import ObservationLayout
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.environment_faults import NonFiniteError
from reinforce.workers.environment_source import Part
from reinforce.workers.spaces import part_name
from reinforce.workers.tickets import Ticket
from reinforce.workers.trajectory_builder import TrajectoryBuilder

StepOf = Callable[[int], tuple[int, int]]
"""Returns the episode and the step that a row of a round is from; step 0 is the reset."""


class FiniteCheck:
    """Raises NonFiniteError for a NaN or an infinity, with its part, step, episode and ticket.

    Args:
        ticket: What is played.
        layout: Of its observations.
        where: Returns words for a part of a step (``where_in``).
    """

    def __init__(
        self, ticket: Ticket, layout: ObservationLayout, where: Callable[[int, Part], str]
    ) -> None:
        self._ticket, self._layout, self._where = ticket, layout, where

    def see(self, observations: NDArray[Any], step_of: StepOf, ended: Sequence[int] = ()) -> None:
        """Check [n, ...] rows that the policy will act on: all but those that ended."""
        vectors = self._layout.vector(observations)
        if _are_finite(vectors):
            return
        finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(vectors), axis=1)
        finite[list(ended)] = True
        if not finite.all():
            row = int(finite.argmin())
            self._fail(_not_finite_part(vectors[row], self._layout), *step_of(row))

    def step(
        self,
        observations: NDArray[Any],
        rewards: NDArray[np.float64],
        ended: Sequence[int],
        episodes: NDArray[np.int64],
        builder: TrajectoryBuilder,
    ) -> None:
        """Check what [n] steps brought that are not recorded yet: first what will be acted on."""
        step_of = partial(builder.next_step_of, episodes)
        self.see(observations, step_of, ended)
        if _are_finite(rewards):
            return
        finite = np.isfinite(rewards)
        if not finite.all():
            row = int(finite.argmin())
            what = f"the reward is {rewards[row]}, which would make every return useless"
            self._fail(what, *step_of(row), "reward")

    def ends(self, trajectories: Trajectories) -> None:
        """Check the final observations of episodes that were only truncated."""
        cut = trajectories.truncated & ~trajectories.terminated
        lengths = trajectories.episode_lengths
        self.see(
            trajectories.final_observations,
            lambda episode: (episode, int(lengths[episode])),
            np.flatnonzero(~cut).tolist(),
        )

    def _fail(self, what: str, episode: int, step: int, part: Part = "observation") -> None:
        error = NonFiniteError(f"{self._where(step, part)}: {what}")
        error.add_note(f"This was in {self._ticket.place(episode, step)}.")
        raise error


def _are_finite(numbers: NDArray[Any]) -> bool:
    """Return whether numbers are finite, in one call; False for very large ones, too."""
    return isfinite(np.vdot(numbers, numbers))


def _not_finite_part(vector: NDArray[np.float32], layout: ObservationLayout) -> str:
    """Return words for the first part of a [vector_size] observation that is not finite."""
    index = int(np.isfinite(vector).argmin())
    value = vector[index]
    for leaf in layout.vector_leaves:
        if index < leaf.size:
            break
        index -= leaf.size
    where = ", ".join(map(str, np.unravel_index(index, leaf.shape)))
    component = f" in component [{where}]" if where else ""
    return f"{part_name('observation', leaf.path)} is {value}{component}"
