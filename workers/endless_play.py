"""Looks for episodes without an end before anything is started: greedy policies walk into walls.

Random play leads out of most mazes, and an untrained policy's most probable actions seldom do. A
limit of time ends both; without one, or if a vector implementation ignores it, a warning says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from reinforce.configs.config import Config
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.policy import Policy
from reinforce.learner.policies.weights import Weights
from reinforce.workers.closing import Closing
from reinforce.workers.environment import (
    SINGLE_ENVIRONMENTS,
    EnvironmentSpec,
    make_vector_environment,
    refusing,
)
from reinforce.workers.episode_limits import vector_limit
from reinforce.workers.random_rollout import TimeAllowance, play_random_rollout, play_vector_rollout
from reinforce.workers.rollout_worker import architecture_of

_MAX_SECONDS = 5.0
_LEAST_STEPS = 2000
_TIMES_RANDOM = 3
_NUM_POLICIES = 3


def find_endless_play(
    config: Config,
    spec: EnvironmentSpec,
    environment: gymnasium.Env[Any, Any],
    random_steps: int,
) -> list[str]:
    """Return a sentence if an episode of most probable actions does not end.

    Args:
        config: What is to be run.
        spec: The environment.
        environment: It, without a limit of time.
        random_steps: Steps after which an episode of random actions ended.

    Raises:
        EnvironmentFaultError, InvalidMaskError: Anything raises or has the wrong form.
    """
    max_steps = max(_LEAST_STEPS, _TIMES_RANDOM * random_steps)
    allowance = TimeAllowance(_MAX_SECONDS)
    for policy in _random_policies(config, spec):
        rollout = play_random_rollout(
            environment,
            spec,
            seed=1,
            max_steps=max_steps,
            allowance=allowance,
            greedy_policy=policy,
        )
        if rollout.num_steps == max_steps and not rollout.ended:
            return [
                f"environment.id = {config.environment.id!r} has no limit of time, and a policy "
                f"may play forever: {random_steps:,} random actions ended an episode, and "
                f"{max_steps:,} most probable ones of an untrained policy did not. "
                "Evaluations cut such episodes (evaluation.max_episode_steps), training plays on: "
                "set environment.max_episode_steps"
            ]
    return []


def find_ignored_limit(config: Config, spec: EnvironmentSpec) -> list[str]:
    """Return a sentence if the vector implementation goes on after the limit of time."""
    limit = vector_limit(config.environment)
    is_used = config.environment.use_vector_implementation and spec.has_vector_implementation
    if not (is_used and limit):
        return []
    name = f"the vector implementation of environment.id = {config.environment.id!r}"
    allowance = TimeAllowance(_MAX_SECONDS)
    with Closing() as closing, refusing(f"{name} fails", SINGLE_ENVIRONMENTS):
        vector = closing.add(make_vector_environment(config.environment, 1))
        for policy in _random_policies(config, spec):
            digests, ended = play_vector_rollout(
                vector,
                spec,
                seed=1,
                max_steps=limit,
                allowance=allowance,
                greedy_policy=policy,
            )
            if not ended and len(digests) > limit:
                return [
                    f"{name} does not end an episode after {limit:,} steps, which is its limit of "
                    "time, and may play forever. Evaluations cut such episodes, training plays "
                    "on: set environment.use_vector_implementation to false"
                ]
    return []


def _random_policies(config: Config, spec: EnvironmentSpec) -> Iterator[Policy]:
    """Yield linear policies of random weights, which stand for untrained ones of any kind."""
    architecture = replace(
        architecture_of(config, spec), kind="mlp", hidden_sizes=(), normalize_observations=False
    )
    policy = make_policy(architecture)
    for version in range(_NUM_POLICIES):
        values = np.random.default_rng(version).normal(size=architecture.num_parameters)
        policy.load(Weights(version, values.astype(np.float32)))
        yield policy
