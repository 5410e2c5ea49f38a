"""The largest length of an episode: by its environment, and in evaluations.

Only its own environment cuts a training episode. Evaluations cut an episode without a known time
limit, because a greedy policy may walk into a wall forever
(docs/decisions/0090-evaluations-end.md).
"""

from typing import Any

import gymnasium

from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import EnvironmentSpec, registered_limit

MAX_STEPS_WITHOUT_LIMIT = 50_000
"""Limit in evaluations for environments without a time limit."""

_MAX_TICKET_BYTES = 1 << 30
_LEAST_STEPS = 1000


def limit_of(environment: gymnasium.Env[Any, Any]) -> int | None:
    """Return the steps after which Gymnasium's wrapper ends an episode; None if there is none."""
    limits = []
    wrapper: Any = environment
    while isinstance(wrapper, gymnasium.Wrapper):
        if isinstance(wrapper, gymnasium.wrappers.TimeLimit):
            limits.append(int(wrapper._max_episode_steps))
        wrapper = wrapper.env
    return min(limits, default=None)


def vector_limit(config: EnvironmentConfig) -> int | None:
    """Return the limit that a vector implementation applies by itself; None if none."""
    return config.max_episode_steps or registered_limit(config)


def evaluation_limit(config: Config, spec: EnvironmentSpec, known: int | None) -> int:
    """Return the steps after which an evaluation cuts an episode.

    Args:
        config: The configuration of the run.
        spec: The environment's description.
        known: The environment's own limit, if any.
    """
    limit = config.evaluation.max_episode_steps or known
    if limit:
        return limit
    # A ticket is held in memory until its last episode is over.
    bytes_per_step = spec.observation.empty(1).nbytes * config.workers.episodes_per_ticket
    return max(_LEAST_STEPS, min(MAX_STEPS_WITHOUT_LIMIT, _MAX_TICKET_BYTES // bytes_per_step))
