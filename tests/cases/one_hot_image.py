"""One-hot planes as pixels, as MiniGrid's OneHotPartialObsWrapper shows them."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Planes(gymnasium.Env):
    """Say which of three kinds of thing is somewhere on the board: 20 if always right."""

    def __init__(self, sides=(7, 7)):
        self.observation_space = Box(0, 255, (*sides, 20), np.uint8)
        self.action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        return self._look(), {}

    def step(self, action):
        reward = float(action == self._kind)
        self._step += 1
        return self._look(), reward, self._step == 20, False, {}

    def _look(self):
        board = np.zeros(self.observation_space.shape, np.uint8)
        self._kind = int(self.np_random.integers(3))
        place = self.np_random.integers(board.shape[:2])
        board[(*place, 5 + self._kind)] = 255
        return board
