"""A nested environment that does one thing wrong in the middle of an episode."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Tuple


class LateFault(gymnasium.Env):
    """Sound until step ``at`` of every episode, of which there are four more."""

    def __init__(self, fault="", at=5):
        place = Tuple((Box(-1.0, 1.0, (3,), np.float32), Discrete(4)))
        self.observation_space = Dict({"place": place, "speed": Box(-1.0, 1.0, (2,), np.float32)})
        self.action_space = Discrete(2)
        self._fault, self._at = fault, at
        self._step = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return None if self._fault == "reset" else (self._look(), {})

    def step(self, action):
        self._step += 1
        fault = self._fault if self._step == self._at else ""
        if fault == "raises":
            raise ZeroDivisionError("wheel")
        if fault == "exits":
            raise SystemExit(5)
        if fault == "returns nothing":
            return None
        observation, over = self._look(), self._step == self._at + 4
        if fault == "shape":
            observation["place"] = (np.zeros(1, np.float32), 2)
        if fault == "key":
            del observation["speed"]
        if fault == "dtype":
            observation["speed"] = np.array(["fast", "slow"])
        if fault == "nan":
            observation["speed"][1] = np.nan
        reward = {"reward": "much", "nan reward": np.nan}.get(fault, 1.0)
        return observation, reward, "yes" if fault == "flag" else over, False, {}

    def _look(self):
        return {"place": (np.zeros(3, np.float32), 2), "speed": np.zeros(2, np.float32)}
