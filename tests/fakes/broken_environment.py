"""An environment that does one thing wrong, for the preflight to find."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Broken(gymnasium.Env):
    """Does one thing wrong."""

    def __init__(self, fault=""):
        if fault == "init raises":
            raise OSError("no licence")
        self.observation_space = Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = Discrete(2)
        if fault == "image":
            self.observation_space = Box(0, 255, (3, 3), np.uint8)
        if fault == "category":
            self.observation_space = Discrete(3)
        self._fault = fault
        self._step = self._looks = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        if self._fault == "reset raises":
            raise KeyError("map")
        if self._fault == "reset exits":
            raise SystemExit(0)
        if self._fault == "old reset":
            return self._look()
        return self._look(), {}

    def step(self, action):
        self._step += 1
        fault = self._fault
        if fault == "step raises" and self._step == 3:
            raise ZeroDivisionError("wheel")
        if fault == "step exits" and self._step == 2:
            raise SystemExit(5)
        over = self._step == 4 and fault != "never ends"
        reward = {"reward": np.ones(2), "nan reward": float("nan")}.get(fault, 1.0)
        if fault == "old step":
            return self._look(), reward, over, {}
        return self._look(), reward, 1 if fault == "flag" else over, False, {}

    def _look(self):
        looks = {
            "image": lambda: np.full((3, 3), 0.5),
            "category": lambda: 3,
            "nan": lambda: np.full(3, np.nan, np.float32),
            "list": lambda: [0.0, 0.0, 0.0],
            "bounds": lambda: np.full(3, 1.5, np.float32),
            "unseeded": lambda: np.random.default_rng().random(3).astype(np.float32),
            "remembers": self._count,
        }
        if self._fault == "shape" and self._step == 2:
            return np.zeros(2, np.float32)
        sound = lambda: self.np_random.random(3).astype(np.float32)  # noqa: E731
        return looks.get(self._fault, sound)()

    def _count(self):
        self._looks += 1
        return np.full(3, (self._looks % 97) / 97, np.float32)


class Unseeded(Broken):
    """Resets as in old Gym."""

    def reset(self):
        return self._look()
