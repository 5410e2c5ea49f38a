"""Numbers that are large and differ by little, such as the time since 1970."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Clock(gymnasium.Env):
    """Shows nothing, and ``base`` with or without ``step``."""

    def __init__(self, dtype, base, step):
        number = np.dtype(dtype)
        whole = np.issubdtype(number, np.integer)
        limits = (np.iinfo(number).min, np.iinfo(number).max) if whole else (-np.inf, np.inf)
        self.observation_space = Dict({"now": Box(*limits, (2,), number)})
        self.action_space = Discrete(2)
        self._shown = np.array([[0, base], [0, base + step]], number)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._count = 0
        return {"now": self._shown[0]}, {}

    def step(self, action):
        self._count += 1
        return {"now": self._shown[self._count % 2]}, 1.0, self._count == 5, False, {}
