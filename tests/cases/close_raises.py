"""A simulator that dies once, and raises again when it is closed, as real ones do."""

import os
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Simulator(gymnasium.Env):
    """Writes a line into ``log`` when it is opened and when it is closed, with its process.

    The first to create the file ``dies_at`` is dead from its third step on.
    """

    def __init__(self, log, *, dies_at="", close_raises=True):
        self.observation_space = Box(0.0, 1.0, (1,), np.float32)
        self.action_space = Discrete(2)
        self._log, self._dies_at, self._close_raises = log, dies_at, close_raises
        self._is_dead, self._step = False, 0
        self._note("open")

    def reset(self, *, seed=None, options=None):
        self._require_life()
        super().reset(seed=seed)
        self._step = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self._step += 1
        if self._step == 3 and self._dies_at and not Path(self._dies_at).exists():
            Path(self._dies_at).touch()
            self._is_dead = True
        self._require_life()
        return np.zeros(1, np.float32), 1.0, self._step == 5, False, {}

    def close(self):
        self._note("close")
        if self._close_raises:
            raise BrokenPipeError("nobody is there")

    def _require_life(self):
        if self._is_dead:
            raise ConnectionResetError("the simulator is dead")

    def _note(self, what):
        with Path(self._log).open("a") as file:
            file.write(f"{what} {os.getpid()}\n")
