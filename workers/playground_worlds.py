"""The control suite of MuJoCo Playground as ``playground/`` ids, registered by importing this."""

from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space

from reinforce.workers.functional_environment import import_jax, register

import_jax()  # before MuJoCo's JAX makes arrays

from mujoco_playground import dm_control_suite  # noqa: E402

_NOT_OURS_TO_CHANGE = {
    "impl": "states in Warp cannot be divided into lanes",
    "episode_length": "set environment.max_episode_steps",
    "action_repeat": "Playground's training applies it, not its tasks",
}


class PlaygroundWorld:
    """A task of Playground, of which only an invalid state is an end."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Make the task.

        Args:
            name: Its name in Playground.
            kwargs: Values of its configuration, such as ``sim_dt``.

        Raises:
            ValueError: A value has no effect here.
        """
        for key in kwargs:
            if key in _NOT_OURS_TO_CHANGE:
                raise ValueError(f"{key} cannot be changed: {_NOT_OURS_TO_CHANGE[key]}")
        self._task = dm_control_suite.load(name, config_overrides={**kwargs, "impl": "jax"})
        self.observation_space: Space[Any] = Box(-np.inf, np.inf, (self._task.observation_size,))
        self.action_space: Space[Any] = Box(-1.0, 1.0, (self._task.action_size,))

    def reset(self, key: Any) -> Any:
        state = self._task.reset(key)
        return state.obs, state

    def step(self, key: Any, state: Any, action: Any) -> Any:
        state = self._task.step(state, action)
        return state.obs, state, state.reward, state.done > 0


for _name in dm_control_suite.ALL_ENVS:
    _limit = dm_control_suite.get_default_config(_name).episode_length
    register(f"playground/{_name}", partial(PlaygroundWorld, _name), _limit)
