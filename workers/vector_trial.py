"""A trial of a vector implementation: two lanes, random actions, everything that comes back."""

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from workers.actions import ActionDecoder
from workers.environment import EnvironmentSpec
from workers.observations import batch_rows, observation_rows
from workers.trial import random_actions

Step = tuple[NDArray[Any], ...]
"""What was seen by all lanes and, but after the reset, the rewards and the two kinds of ends."""


def play_vector_trial(
    environment: VectorEnv[Any, Any, Any], spec: EnvironmentSpec, *, seed: int, max_steps: int
) -> list[Step]:
    """Reset with a seed and take random actions, the same ones for the same seed.

    It ends with the first episode that does: what a lane does afterwards is of no influence.

    Raises:
        InvalidMaskError: An action mask is absent or of the wrong form.
        Exception: Whatever the environment raises.
    """
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    lanes = np.arange(environment.num_envs)
    observations, info = environment.reset(seed=seed)
    steps: list[Step] = [(observation_rows(spec.observation, observations).copy(),)]
    while len(steps) <= max_steps and not (len(steps) > 1 and np.any(steps[-1][2:])):
        masks = batch_rows(spec, observations, info, lanes).masks
        actions = random_actions(spec.action, generator, masks, len(lanes))
        observations, *outcome, info = environment.step(decoder.batch(actions))
        seen = observation_rows(spec.observation, observations)
        steps.append((seen.copy(), *(np.array(values) for values in outcome)))
    return steps


def first_difference(one: list[Step], other: list[Step]) -> int | None:
    """Return the step from which two trials differ, 0 for the reset, or None."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if [array.tobytes() for array in mine] != [array.tobytes() for array in theirs]:
            return number
    return None
