"""Environments that are pure functions, such as those written in JAX: many lanes in one call.

The seed of a round, a lane's number and its actions determine all that happens in the lane.
"""

import json
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray


class World(Protocol):
    """An environment as functions that JAX can trace, without a time limit or restarts.

    ``reset`` returns the first observation and a state; ``step`` the next observation and state,
    the reward, and whether the episode has terminated. All random numbers come from ``key``.
    """

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]

    def reset(self, key: Any) -> tuple[Any, Any]: ...

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Any, Any, Any]: ...


class JaxBatch:
    """Lanes of a world compiled by JAX, as functions that return NumPy arrays."""

    def __init__(self, world: World) -> None:
        jax = import_jax()
        self.observation_space, self.action_space = world.observation_space, world.action_space
        self._to_numpy = jax.device_get  # on a CPU without a copy
        fold_in = jax.random.fold_in

        def reset(seed: Any, lanes: Any) -> Any:
            keys = jax.vmap(fold_in, (None, 0))(jax.random.key(seed), lanes)
            begun = jax.vmap(world.reset)(jax.vmap(fold_in, (0, None))(keys, 0))
            # Python's numbers get the types that steps give them, or JAX would compile steps twice.
            observations, states = jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), begun)
            return observations, (states, keys, 0)

        def step(carried: Any, actions: Any, waiting: Any) -> Any:
            states, keys, num_steps = carried
            now = jax.vmap(fold_in, (0, None))(keys, num_steps + 1)
            *ahead, rewards, terminated = jax.vmap(world.step)(now, states, actions)

            def begun() -> Any:
                choose = partial(jax.vmap(jax.numpy.where), waiting)
                return jax.tree.map(choose, [*jax.vmap(world.reset)(now)], ahead)

            observations, states = jax.lax.cond(waiting.any(), begun, lambda: ahead)
            return observations, (states, keys, num_steps + 1), rewards, terminated

        self._reset, self._step = jax.jit(reset), jax.jit(step)

    def reset(self, seed: int, num_lanes: int) -> tuple[Any, Any]:
        """Return first observations and a state."""
        observations, state = self._reset(np.uint32(seed), np.arange(num_lanes))
        return self._to_numpy(observations), state

    def step(self, state: Any, actions: Any, waiting: NDArray[np.bool_]) -> tuple[Any, ...]:
        """Reset lanes that wait, step others; return observations, state, rewards, terminated."""
        observations, state, *ends = self._step(state, actions, waiting)
        observations, rewards, terminated = self._to_numpy((observations, *ends))
        return observations, state, rewards, terminated.astype(np.bool_)


class FunctionalVectorEnv(VectorEnv[Any, Any, Any]):
    """Lanes of a world. A lane that has ended begins again at the next step."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as in Gymnasium

    def __init__(self, batch: JaxBatch, num_envs: int, max_episode_steps: int | None) -> None:
        self._batch, self.num_envs = batch, num_envs
        self._limit = max_episode_steps or np.inf
        self.single_observation_space = batch.observation_space
        self.single_action_space = batch.action_space
        self.observation_space = batch_space(batch.observation_space, num_envs)
        self.action_space = batch_space(batch.action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._lengths, self._over = np.zeros(self.num_envs, int), np.zeros(self.num_envs, np.bool_)
        drawn = int(self.np_random.integers(1 << 32))
        observations, self._state = self._batch.reset(drawn, self.num_envs)
        return observations, {}

    def step(self, actions: Any) -> Any:
        waiting = self._over
        observations, self._state, *ends = self._batch.step(self._state, actions, waiting)
        rewards, terminated = np.where(waiting, 0.0, ends[0]), ends[1] & ~waiting
        self._lengths = np.where(waiting, 0, self._lengths + 1)
        truncated = self._lengths >= self._limit
        self._over = terminated | truncated
        return observations, rewards, terminated, truncated, {}


class FunctionalEnv(gymnasium.Env[Any, Any]):
    """A single environment, which plays what lane 0 of the same world and seed does."""

    def __init__(self, batch: JaxBatch) -> None:
        self._lane = FunctionalVectorEnv(batch, 1, None)
        self.observation_space, self.action_space = batch.observation_space, batch.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._first(self._lane.reset(seed=seed)[0]), {}

    def step(self, action: Any) -> Any:
        empty: Any = create_empty_array(self.action_space, 1)
        actions = concatenate(self.action_space, [action], empty)
        observations, rewards, terminated, _, info = self._lane.step(actions)
        return self._first(observations), float(rewards[0]), bool(terminated[0]), False, info

    def _first(self, observations: Any) -> Any:
        return next(iter(iterate(self._lane.observation_space, observations)))


def register(name: str, make: Callable[..., World], max_episode_steps: int | None = None) -> None:
    """Register a world with Gymnasium; ``make`` receives ``environment.kwargs``, plain values."""

    @cache  # compiling takes seconds, and a batch has no state
    def batch(kwargs: str) -> JaxBatch:
        return JaxBatch(make(**json.loads(kwargs)))

    def single(**kwargs: Any) -> FunctionalEnv:
        return FunctionalEnv(batch(json.dumps(kwargs, sort_keys=True)))

    def vector(**kwargs: Any) -> FunctionalVectorEnv:
        num_lanes, limit = kwargs.pop("num_envs"), kwargs.pop("max_episode_steps", None)
        return FunctionalVectorEnv(batch(json.dumps(kwargs, sort_keys=True)), num_lanes, limit)

    gymnasium.register(name, single, max_episode_steps=max_episode_steps, vector_entry_point=vector)


def import_jax() -> Any:
    """Return JAX, told to compute in one thread of the CPU unless it has begun already."""
    os.environ.setdefault("PJRT_NPROC", "1")
    import jax

    jax.config.update("jax_platforms", jax.config.jax_platforms or "cpu")
    return jax
