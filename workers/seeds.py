"""Seeds: the run's seed determines those of its episodes, and these all their random numbers.

A trajectory is a function of the weights and its seeds. So the number of workers changes only the
speed: a lost ticket can be played again, arrival order is irrelevant, and no generator needs a
checkpoint.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.spaces import ActionLayout

_STEPS_PER_DRAW = 128
"""Steps for which numbers are drawn at a time; affects only the speed."""


def episode_seed(run_seed: int, purpose: int, update: int, ticket: int, episode: int) -> int:
    """Return the 64-bit seed of an episode, determined by these numbers, >= 0.

    Its two highest bits are the purpose, 0 to 3: no seed serves two purposes.
    """
    drawn = seed_of(run_seed, Stream.EPISODES, purpose, update, ticket, episode)
    return purpose << 62 | drawn >> 2


def environment_seed(seed: int) -> int:
    """Return the seed for the reset of an episode: 31 bits, which every simulator accepts.

    Gymnasium takes any integer >= 0; ``numpy.random.seed``, which many environments use, takes 32
    bits, and an int in C takes 31. The two highest bits are again the purpose.
    """
    drawn = int(np.random.SeedSequence(seed, spawn_key=(0,)).generate_state(1)[0])
    return seed >> 62 << 29 | drawn >> 3


def action_generator(seed: int) -> np.random.Generator:
    """Return the generator for the actions of the episode with this seed."""
    sequence = np.random.SeedSequence(seed, spawn_key=(1,))
    return np.random.Generator(np.random.PCG64(sequence))


def uniforms_shape(layout: ActionLayout) -> tuple[int, ...]:
    """Return the shape of the uniform numbers for one action."""
    return () if layout.is_one_choice else (layout.num_uniforms,)


class EpisodeNoise:
    """The random numbers for the actions of several episodes in play, one row each.

    Each row is drawn from its episode's own generator, so the numbers depend neither on the row nor
    on the other episodes.
    """

    def __init__(
        self,
        num_rows: int,
        shape: tuple[int, ...],
        noise: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Begin without episodes.

        Args:
            num_rows: Number of rows.
            shape: Shape of the uniform numbers for one action.
            noise: Converts [n, *shape] uniform numbers to noise, such as ``Policy.noise``.
        """
        self._noise = noise
        self._generators: list[np.random.Generator] = [np.random.default_rng(0)] * num_rows
        # A ring of steps: those of a row are drawn once around, and then again.
        self._numbers = np.empty((_STEPS_PER_DRAW, num_rows, *shape))
        self._num_steps = 0
        self._drawn_until = np.zeros(num_rows, np.int64)
        self._next_draw = 0

    def begin_row(self, row: int, seed: int) -> None:
        """Begin the episode of this seed in a row."""
        self._generators[row] = action_generator(seed)
        self._drawn_until[row] = self._next_draw = self._num_steps

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Continue with these rows only."""
        self._generators = [self._generators[row] for row in np.flatnonzero(rows)]
        self._numbers, self._drawn_until = self._numbers[:, rows], self._drawn_until[rows]

    def next_step(self) -> NDArray[Any]:
        """Return [n, *shape] noise for the next step of every row."""
        now = self._num_steps % _STEPS_PER_DRAW
        if self._num_steps == self._next_draw:
            for row in np.flatnonzero(self._drawn_until == self._num_steps):
                shape = (_STEPS_PER_DRAW, *self._numbers.shape[2:])
                drawn = self._noise(self._generators[row].random(shape))
                self._numbers[now:, row] = drawn[: _STEPS_PER_DRAW - now]
                self._numbers[:now, row] = drawn[_STEPS_PER_DRAW - now :]
                self._drawn_until[row] += _STEPS_PER_DRAW
            self._next_draw = self._drawn_until.min(initial=self._num_steps + _STEPS_PER_DRAW)
        self._num_steps += 1
        numbers: NDArray[np.float64] = self._numbers[now].copy()
        return numbers
