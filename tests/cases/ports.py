"""Simulators behind TCP ports, as Unity ML-Agents, Godot, SUMO and CARLA (Ray #13412)."""

import socket

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class OnePort(gymnasium.Env):
    """Listens on one port, so a second living instance cannot be made. Five steps, 1 each."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, port, render_mode=None):
        self.render_mode = render_mode
        self.observation_space, self.action_space = Box(0, 1, (1,), np.float32), Discrete(2)
        self._socket = socket.create_server(("127.0.0.1", port))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.random(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return self.np_random.random(1, np.float32), 1.0, self.steps == 5, False, {}

    def render(self):
        return np.full((32, 32, 3), 50 * self.steps, np.uint8)

    def close(self):
        self._socket.close()


class PortEach(OnePort):
    """Has a port for each instance, ten for each worker, and says where it stands."""

    def __init__(self, port, *, worker_index=0, num_workers=1, instance_index=0):
        assert worker_index < num_workers
        super().__init__(port + 10 * worker_index + instance_index)
        self._place = {"worker": worker_index, "of": num_workers, "instance": instance_index}

    def step(self, action):
        *result, _ = super().step(action)
        return *result, self._place
