"""The benefit of an environment's vector implementation: steps per second with and without it."""

import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.closing import Closing
from reinforce.workers.environment import (
    inspect_environment,
    make_environment,
    make_vector_environment,
    registers_vector_implementation,
)
from reinforce.workers.vector_lanes import autoreset_mode

_SECONDS = 0.1
_NUM_ACTIONS = 64
"""Number of actions drawn beforehand: drawing one takes as long as a step of CartPole."""


def vector_speed(config: EnvironmentConfig, num_lanes: int) -> str | None:
    """Return a sentence on the vector implementation's speed, and how to use it.

    None if there is none, its spaces differ, or masks forbid the random actions used here.

    Raises:
        UnsuitableEnvironmentError: The environment cannot be made without its wrappers.
        Exception: Whatever its code raises.
    """
    bare = config.model_copy(update={"wrappers": (), "use_vector_implementation": True})
    if not registers_vector_implementation(bare):
        return None
    spec = inspect_environment(bare)
    if not spec.has_vector_implementation or spec.action_mask:
        return None
    single, vector = _single_steps_per_s(bare), _vector_steps_per_s(bare, num_lanes)
    way = "it is used"
    if config.wrappers:
        way = "environment.wrappers keep it from being used"
    elif not config.use_vector_implementation:
        way = "environment.use_vector_implementation true uses it"
    return (
        f"the vector implementation makes {vector:,.0f} steps/s with {num_lanes} lanes, single "
        f"environments {single:,.0f}; {way}"
    )


def _single_steps_per_s(config: EnvironmentConfig) -> float:
    with Closing() as closing:
        environment = closing.add(make_environment(config))

        def step(action: Any) -> None:
            _, _, terminated, truncated, _ = environment.step(action)
            if terminated or truncated:
                environment.reset()

        environment.reset(seed=0)
        environment.action_space.seed(0)
        return _calls_per_s(step, [environment.action_space.sample() for _ in range(_NUM_ACTIONS)])


def _vector_steps_per_s(config: EnvironmentConfig, num_lanes: int) -> float:
    with Closing() as closing:
        environment = closing.add(make_vector_environment(config, num_lanes))
        resets_itself = autoreset_mode(config, environment) is not AutoresetMode.DISABLED

        def step(actions: Any) -> None:
            _, _, terminated, truncated, _ = environment.step(actions)
            if not resets_itself and (ended := np.logical_or(terminated, truncated)).any():
                environment.reset(options={"reset_mask": ended})

        environment.reset(seed=0)
        environment.action_space.seed(0)
        actions = [environment.action_space.sample() for _ in range(_NUM_ACTIONS)]
        return num_lanes * _calls_per_s(step, actions)


def _calls_per_s(step: Callable[[Any], None], actions: Sequence[Any]) -> float:
    """Return steps per second, without the first one, which may include compilation."""
    step(actions[0])
    began_s, count = time.perf_counter(), 0
    for action in cycle(actions):
        step(action)
        count += 1
        if (elapsed_s := time.perf_counter() - began_s) >= _SECONDS:
            break
    return count / elapsed_s
