"""The uniform numbers that decide the actions of several episodes in play."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.workers.tickets import action_generator

_STEPS_PER_DRAW = 128
"""Steps for which numbers are drawn at a time; it decides nothing but the speed."""


class EpisodeUniforms:
    """A row of numbers for every episode, drawn from a generator of the episode's own.

    Which row an episode has, and who plays in the others, is of no influence on its numbers.
    """

    def __init__(self, num_rows: int, per_step: tuple[int, ...]) -> None:
        self._per_step = per_step
        self._generators: list[np.random.Generator] = [np.random.default_rng(0)] * num_rows
        self._numbers = np.empty((num_rows, _STEPS_PER_DRAW, *per_step))
        self._rows = np.arange(num_rows)
        self._position = np.full(num_rows, _STEPS_PER_DRAW)  # nothing is drawn yet
        self._steps_until_draw = 0

    def begin_row(self, row: int, episode_seed: int) -> None:
        """Begin an episode in a row."""
        self._generators[row] = action_generator(episode_seed)
        self._position[row] = _STEPS_PER_DRAW
        self._steps_until_draw = 0

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Go on with these rows alone."""
        self._generators = [self._generators[row] for row in np.flatnonzero(rows)]
        self._numbers, self._position = self._numbers[rows], self._position[rows]
        self._rows = np.arange(len(self._numbers))

    def next_step(self) -> NDArray[Any]:
        """Return [n, *per_step] uniform numbers in [0, 1): the next ones of every row."""
        if self._steps_until_draw == 0:
            self._draw()
        numbers: NDArray[Any] = self._numbers[self._rows, self._position]
        self._position += 1
        self._steps_until_draw -= 1
        return numbers

    def _draw(self) -> None:
        for row in np.flatnonzero(self._position == _STEPS_PER_DRAW):
            self._generators[row].random(out=self._numbers[row])
            self._position[row] = 0
        self._steps_until_draw = _STEPS_PER_DRAW - int(self._position.max())
