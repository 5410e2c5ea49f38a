"""Simulators behind TCP ports, as Unity ML-Agents, Godot, SUMO and CARLA (Ray #13412)."""

import socket
from functools import partial

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv


class FewSteps(gymnasium.Env):
    """Pays 1 for each of its steps, and listens nowhere."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, num_steps=5, render_mode=None):
        self.render_mode, self._num_steps = render_mode, num_steps
        self.observation_space, self.action_space = Box(0, 1, (1,), np.float32), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.random(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return self.np_random.random(1, np.float32), 1.0, self.steps == self._num_steps, False, {}

    def render(self):
        return np.full((32, 32, 3), 50 * self.steps, np.uint8)


class OnePort(FewSteps):
    """Listens on one port, so a second living instance cannot be made."""

    def __init__(self, port, num_steps=5, render_mode=None):
        super().__init__(num_steps, render_mode)
        self._socket = socket.create_server(("127.0.0.1", port))

    def close(self):
        self._socket.close()


class PortEach(OnePort):
    """Has a port for each instance, ten for each worker, and says where it stands."""

    def __init__(self, port, num_steps=5, *, worker_index=0, num_workers=1, instance_index=0):
        assert worker_index < num_workers
        super().__init__(port + 10 * worker_index + instance_index, num_steps)
        self._place = {"worker": worker_index, "of": num_workers, "instance": instance_index}

    def step(self, action):
        *result, _ = super().step(action)
        return *result, self._place


class PortTogether(SyncVectorEnv):
    """Steps many copies behind one port, which is that of its place."""

    def __init__(self, num_envs, port, num_steps=5, *, worker_index=0, instance_index=0):
        super().__init__([partial(FewSteps, num_steps)] * num_envs)
        self._socket = socket.create_server(
            ("127.0.0.1", port + 10 * worker_index + instance_index)
        )

    def close_extras(self, **kwargs):
        self._socket.close()
        super().close_extras(**kwargs)


gymnasium.register("PortTogether-v0", entry_point=PortEach, vector_entry_point=PortTogether)
