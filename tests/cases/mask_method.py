"""Says what is allowed by a method, as sb3-contrib's MaskablePPO expects it."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete


class Masked(gymnasium.Env):
    """Allows one choice of each component, another in each step; raises at any other.

    Nothing is allowed once an episode is over.
    """

    def __init__(self, counts=(4,), *, as_lists=False):
        self.observation_space = Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = Discrete(counts[0]) if len(counts) == 1 else MultiDiscrete(counts)
        self._counts, self._as_lists = counts, as_lists

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._step = 0
        self._draw()
        return np.zeros(2, np.float32), {}

    def step(self, action):
        if np.ravel(action).tolist() != self._allowed:
            raise ValueError(f"action {action!r} is forbidden")
        self._step += 1
        self._draw()
        return np.zeros(2, np.float32), 1.0, self._step == 5, False, {}

    def action_masks(self):
        if self._step == 5:
            raise RuntimeError("the episode is over")
        pairs = zip(self._counts, self._allowed, strict=True)
        masks = [[choice == allowed for choice in range(count)] for count, allowed in pairs]
        return masks if self._as_lists else np.concatenate(masks)

    def _draw(self):
        self._allowed = self.np_random.integers(self._counts).tolist()


class Plain(Masked):
    """Has no method of its own."""

    action_masks = None


class Masking(gymnasium.Wrapper):
    """Adds the method, as sb3-contrib's ActionMasker does."""

    def action_masks(self):
        return Masked.action_masks(self.unwrapped)
