"""An environment that shows or pays something that is not finite, and takes no step after it."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import SyncVectorEnv

ACTIONS = {
    "discrete": Discrete(2),
    "several": MultiDiscrete([2, 3]),
    "binary": MultiBinary(2),
    "bounded": Box(-1.0, 1.0, (2,), np.float32),
    "unbounded": Box(-np.inf, np.inf, (2,), np.float32),
    "nested": Dict({"gear": Discrete(2), "push": Box(-1.0, 1.0, (1,), np.float32)}),
}


class Poisoned(gymnasium.Env):
    """Shows ``value`` from step ``seen_at`` on (0: the reset), and pays it from ``paid_at`` on."""

    def __init__(self, action="discrete", value="nan", seen_at=99, paid_at=99):
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = ACTIONS[action]
        self._value, self._seen_at, self._paid_at = float(value), seen_at, paid_at
        self._step = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._look(), {}

    def step(self, action):
        assert self._step < self._seen_at or np.isfinite(self._value), "acted on a NaN"
        self._step += 1
        reward = self._value if self._step >= self._paid_at else 1.0
        return self._look(), reward, self._step == 6, False, {}

    def _look(self):
        return np.array([0.0, self._value if self._step >= self._seen_at else 0.0], np.float32)


def several(num_envs, **kwargs):
    """Return that many side by side."""
    return SyncVectorEnv([lambda: Poisoned(**kwargs)] * num_envs)


if "Poisoned-v0" not in gymnasium.registry:
    gymnasium.register("Poisoned-v0", Poisoned, vector_entry_point=several)
