"""A simulator that stalls in the middle of an episode, and how it takes a signal then."""

import threading
import time
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

IS_STALLED = threading.Event()
"""Set by the first step that stalls."""

_EPISODES_LEFT = [float("inf")]


def stall_after(num_episodes):
    """Have every step stall for a minute once so many more episodes have begun in this process.

    For a fifth of a second where signals are caught.
    """
    IS_STALLED.clear()
    _EPISODES_LEFT[0] = num_episodes


class Simulator(gymnasium.Env):
    """Ends after twenty steps; pays for the action 1. ``when_interrupted`` is how it takes that."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, when_interrupted="stops", render_mode=None):
        self.render_mode = render_mode
        self._when_interrupted = when_interrupted
        self.observation_space = Box(0, 20, (1,), np.float32)
        self.action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        _EPISODES_LEFT[0] -= 1
        self._count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if _EPISODES_LEFT[0] < 0:
            IS_STALLED.set()
            self._stall()
        self._count += 1
        observation = np.full(1, self._count, np.float32)
        return observation, float(action), self._count == 20, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)

    def _stall(self):
        try:
            time.sleep(0.2 if self._when_interrupted == "goes on" else 60)
        except BaseException as interruption:
            if self._when_interrupted == "dies":
                raise BrokenPipeError("the simulator is dead") from interruption
            if self._when_interrupted == "stops":
                raise
            # "goes on": as one that starts its process again whatever happened
