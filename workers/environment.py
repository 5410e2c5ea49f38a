"""Environments: made by id, described by the few numbers a policy needs, or refused in time."""

import difflib
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import VectorEnv

from configs.experiment import EnvironmentConfig

EnvironmentFactory = Callable[[EnvironmentConfig], gymnasium.Env[Any, Any]]
"""Makes one environment: ``make_environment``, or one that adds to what it makes."""


class UnsuitableEnvironmentError(Exception):
    """An environment that cannot be made or learned in; the message says why and what to do."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """What the rest of the system needs to know of an environment.

    Attributes:
        observation_shape: Shape of one observation.
        num_actions: Number of discrete actions.
        first_action: The environment's number for action 0 of the policy.
        has_vector_implementation: The environment steps many copies of itself at once.
    """

    observation_shape: tuple[int, ...]
    num_actions: int
    first_action: int
    has_vector_implementation: bool

    @property
    def observation_size(self) -> int:
        """Numbers in one flat observation."""
        return int(np.prod(self.observation_shape))


def inspect_environment(config: EnvironmentConfig) -> EnvironmentSpec:
    """Make the environment once and describe it.

    Raises:
        UnsuitableEnvironmentError: It does not exist, cannot be made, or has spaces that no policy
            here can act in.
    """
    environment = make_environment(config)
    try:
        observation_space, action_space = environment.observation_space, environment.action_space
    finally:
        environment.close()
    if not isinstance(observation_space, Box):
        raise UnsuitableEnvironmentError(_unsupported(config.id, "observation", observation_space))
    if not isinstance(action_space, Discrete):
        raise UnsuitableEnvironmentError(_unsupported(config.id, "action", action_space))
    has_vector_implementation = _registered(config).vector_entry_point is not None
    if has_vector_implementation and config.use_vector_implementation:
        make_vector_environment(config, 1).close()
    return EnvironmentSpec(
        observation_shape=observation_space.shape,
        num_actions=int(action_space.n),
        first_action=int(action_space.start),
        has_vector_implementation=has_vector_implementation,
    )


def make_environment(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
    """Return one environment, wrapped as registered (time limit and order of calls).

    Raises:
        UnsuitableEnvironmentError: There is no such id, or its constructor fails.
    """
    _registered(config)
    with warnings.catch_warnings():
        # The user chose the version; that a newer one exists is no news to an experiment's log.
        warnings.filterwarnings("ignore", message=".*is out of date")
        try:
            return gymnasium.make(
                config.id,
                max_episode_steps=config.max_episode_steps,
                disable_env_checker=True,
                **config.kwargs,
            )
        except Exception as error:  # whatever a user's constructor raises
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} cannot be made with kwargs {config.kwargs}: "
                f"{type(error).__name__}: {error}"
            ) from error


def make_vector_environment(config: EnvironmentConfig, num_lanes: int) -> VectorEnv[Any, Any, Any]:
    """Return the environment's own vector implementation with ``num_lanes`` copies.

    Raises:
        UnsuitableEnvironmentError: Its constructor fails.
    """
    kwargs = dict(config.kwargs)
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date")
        try:
            return gymnasium.make_vec(
                config.id, num_envs=num_lanes, vectorization_mode="vector_entry_point", **kwargs
            )
        except Exception as error:  # whatever a constructor raises
            raise UnsuitableEnvironmentError(
                f"the vector implementation of environment.id = {config.id!r} cannot be made with "
                f"kwargs {kwargs}: {type(error).__name__}: {error}; set "
                "environment.use_vector_implementation to false to step single environments"
            ) from error


def _registered(config: EnvironmentConfig) -> EnvSpec:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date")
        module, _, name = config.id.rpartition(":")
        try:
            if module:
                importlib.import_module(module)
            return gymnasium.spec(name)
        except (gymnasium.error.Error, ImportError) as error:
            near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.6)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} does not exist here ({error}){hint}"
            ) from None


def _unsupported(environment_id: str, role: str, space: Space[Any]) -> str:
    supported = "Box observations" if role == "observation" else "Discrete actions"
    return (
        f"environment.id = {environment_id!r} has the {role} space {space}, which is not supported "
        f"yet; choose an environment with {supported}, or convert it with a wrapper of Gymnasium"
    )
