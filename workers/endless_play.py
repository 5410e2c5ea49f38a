"""Looks for endless episodes before a run starts: greedy policies walk into walls.

Random play leads out of most mazes, but an untrained policy's most probable actions seldom do. A
time limit ends both; without one, or if a vector implementation ignores it, the user gets a
warning.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
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
    """Return a warning if an episode of most probable actions does not end.

    Args:
        config: The configuration of the run.
        spec: Its description.
        environment: The environment, without a time limit.
        random_steps: Length of an episode of random actions.

    Raises:
        EnvironmentFaultError: Anything raises or has the wrong form.
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
                f"environment.id = {config.environment.id!r} has no time limit, so a policy may "
                f"play forever: an episode ended after {random_steps:,} random actions, but not "
                f"after {max_steps:,} most probable actions of an untrained policy. Evaluations "
                "cut such episodes (evaluation.max_episode_steps), training does not: set "
                "environment.max_episode_steps"
            ]
    return []


def find_ignored_limit(config: Config, spec: EnvironmentSpec) -> list[str]:
    """Return a warning if the vector implementation continues past the time limit."""
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
                    f"{name} does not end an episode after {counted(limit, 'step')}, its time "
                    "limit, and "
                    "may play forever. Evaluations cut such episodes, training does not: set "
                    "environment.use_vector_implementation to false"
                ]
    return []


def _random_policies(config: Config, spec: EnvironmentSpec) -> Iterator[Policy]:
    """Yield linear policies with random weights, as examples of untrained ones."""
    architecture = replace(
        architecture_of(config, spec), kind="mlp", hidden_sizes=(), normalize_observations=False
    )
    policy = make_policy(architecture)
    for version in range(_NUM_POLICIES):
        values = np.random.default_rng(version).normal(size=architecture.num_parameters)
        policy.load(Weights(version, values.astype(np.float32)))
        yield policy
