"""A trial of a vector implementation: two lanes, random actions, everything that comes back."""

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from workers.actions import ActionDecoder
from workers.environment import EnvironmentSpec
from workers.observations import batch_rows, observation_rows
from workers.step_digest import step_digest
from workers.trial import random_actions


def play_vector_trial(
    environment: VectorEnv[Any, Any, Any], spec: EnvironmentSpec, *, seed: int, max_steps: int
) -> list[bytes]:
    """Reset with a seed and take random actions, the same ones for the same seed.

    It ends with the first episode that does: what a lane does afterwards is of no influence.

    Returns:
        Digests of what all lanes saw after the reset, and of what each step returned.

    Raises:
        InvalidMaskError: An action mask is absent or of the wrong form.
        Exception: Whatever the environment raises.
    """
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    lanes = np.arange(environment.num_envs)
    observations, info = environment.reset(seed=seed)
    digests = [step_digest(observation_rows(spec.observation, observations))]
    has_end = False
    while len(digests) <= max_steps and not has_end:
        masks = batch_rows(spec, observations, info, lanes).masks
        actions = random_actions(spec.action, generator, masks, len(lanes))
        observations, rewards, *ends, info = environment.step(decoder.batch(actions))
        seen = observation_rows(spec.observation, observations)
        digests.append(step_digest(seen, rewards, *ends))
        has_end = bool(np.any(ends))
    return digests
