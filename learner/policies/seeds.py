"""The source of all random numbers of a run: its seed and their purpose.

Every generator of a run or a sweep has its own ``numpy.random.SeedSequence``, so no two of them
share numbers, in any run, and neighbouring seeds are unrelated.
"""

from enum import IntEnum

import numpy as np

SEED_SCHEME = 2
"""Increased when seeds come to mean other numbers. Checkpoints record it."""


class Stream(IntEnum):
    """The purpose of random numbers."""

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
    """Return the seed sequence of one generator, determined by these numbers, >= 0.

    Args:
        run_seed: ``run.seed``; for a sweep, its ``sampler_seed``.
        stream: What for.
        place: Where in the run: the update, the ticket, ...
    """
    return np.random.SeedSequence(run_seed, spawn_key=(stream, *place))


def seed_of(run_seed: int, stream: Stream, *place: int) -> int:
    """Return the same as a 64-bit seed, for generators that take no ``SeedSequence``.

    Torch is one; its generator on the CPU uses 32 of the bits (``mt19937``).
    """
    return int(seed_sequence(run_seed, stream, *place).generate_state(1, np.uint64)[0])
