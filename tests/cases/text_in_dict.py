"""A mission in words beside what can be seen, as MiniGrid's environments have it."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Text


class Mission(gymnasium.Env):
    """Ends after five steps."""

    def __init__(self):
        image = Box(0, 255, (7, 7, 3), np.uint8)
        self.observation_space = Dict(
            {"direction": Discrete(4), "image": image, "mission": Text(20)}
        )
        self.action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._look(), {}

    def step(self, action):
        self._step += 1
        return self._look(), 1.0, self._step == 5, False, {}

    def _look(self):
        image = np.full((7, 7, 3), 255, np.uint8)
        return {"direction": 2, "image": image, "mission": "go to the door"}
