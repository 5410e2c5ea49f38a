"""A maze without a limit of time: random play ends, and a greedy policy may walk into a wall."""

import gymnasium
import numpy as np
from gymnasium.envs.registration import register
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

_MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
_SIDE = 4


class Maze(gymnasium.Env):
    """From one corner of a square to the one across."""

    def __init__(self):
        self.observation_space = Box(0, _SIDE, (2,), np.float32)
        self.action_space = Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = [0, 0]
        return np.array(self._place, np.float32), {}

    def step(self, action):
        move = _MOVES[action]
        self._place = [
            min(max(c + d, 0), _SIDE - 1) for c, d in zip(self._place, move, strict=True)
        ]
        is_out = self._place == [_SIDE - 1, _SIDE - 1]
        return np.array(self._place, np.float32), -0.1 + is_out, is_out, False, {}


class VectorMaze(VectorEnv):
    """Many of them at once, which knows nothing of the limit that it is registered with."""

    def __init__(self, num_envs=1, max_episode_steps=None):
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.num_envs = num_envs
        self._mazes = [Maze() for _ in range(num_envs)]
        self._over = np.zeros(num_envs, bool)
        self.single_observation_space = self._mazes[0].observation_space
        self.single_action_space = self._mazes[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        self._over[:] = False
        return np.stack([maze.reset()[0] for maze in self._mazes]), {}

    def step(self, actions):
        seen, rewards, ends = [], [], []
        for maze, action, is_over in zip(self._mazes, actions, self._over, strict=True):
            seen_reward_end = (maze.reset()[0], 0.0, False) if is_over else maze.step(action)[:3]
            for column, value in zip((seen, rewards, ends), seen_reward_end, strict=True):
                column.append(value)
        self._over = np.array(ends)
        return np.stack(seen), np.array(rewards), self._over.copy(), np.zeros(len(ends), bool), {}


register("EndlessMaze-v0", entry_point=Maze, vector_entry_point=VectorMaze, max_episode_steps=100)
