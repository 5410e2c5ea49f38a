"""An environment whose lanes return the same objects, and write over them in every step."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

_PLACE = np.zeros(2, np.float32)
_DICT = {"place": _PLACE.copy(), "speed": np.float32(0)}


class SharedMemory(gymnasium.Env):
    """Shows its own seed and step, in an array or a dict of all lanes, or in its own."""

    def __init__(self, shares="array"):
        place = Box(0, 100, (2,), np.float32)
        parts = Dict({"place": place, "speed": Box(0, 100, (), np.float32)})
        self.observation_space = parts if shares == "dict" else place
        self.action_space = Discrete(2)
        self._shares = shares

    def _show(self):
        if self._shares == "dict":
            _DICT["place"], _DICT["speed"] = np.float32([self._seed, self._step]), self._seed
            return _DICT
        shown = _PLACE if self._shares == "array" else np.zeros(2, np.float32)
        shown[:] = self._seed, self._step
        return shown

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed, self._step = self.np_random.integers(100), 0
        return self._show(), {}

    def step(self, action):
        self._step += 1
        return self._show(), 1.0, self._step > self._seed % 5, False, {}
