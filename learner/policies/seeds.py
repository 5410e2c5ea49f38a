"""Where all chance of a run comes from: its seed, and what the random numbers are for.

Every generator of a run or a sweep is made of a ``numpy.random.SeedSequence`` of its own, so no two
of them share numbers, in whatever run, and neighbouring seeds are as unlike each other as any.
"""

from enum import IntEnum

import numpy as np

SEED_SCHEME = 2
"""Raised when the same seed begins to mean other numbers. A checkpoint says which one it is of."""


class Stream(IntEnum):
    """What random numbers are for."""

    EPISODES = 0
    POLICY_WEIGHTS = 1
    VALUE_WEIGHTS = 2
    VALUE_SHUFFLES = 3
    ACTIONS_IN_PYTHON = 4
    EXPORTED_STEPS = 5
    HELD_OUT = 6
    MINIBATCHES = 7
    SWEEP_TRIALS = 8


def seed_sequence(run_seed: int, stream: Stream, *place: int) -> np.random.SeedSequence:
    """Return the source of one generator, which follows from nothing but these numbers, >= 0.

    Args:
        run_seed: ``run.seed``; of a sweep, its ``sampler_seed``.
        stream: What for.
        place: Where in the run: the update, the ticket, ...
    """
    return np.random.SeedSequence(run_seed, spawn_key=(stream, *place))


def seed_of(run_seed: int, stream: Stream, *place: int) -> int:
    """Return that source as a seed of 64 bits, for what takes no ``SeedSequence``.

    Torch does; its generator on the CPU looks at 32 of them (``mt19937``).
    """
    return int(seed_sequence(run_seed, stream, *place).generate_state(1, np.uint64)[0])
