"""Tasks over any pair of spaces; where the optimum is known, an episode's return is at most 1.

Made by ``environment.id = "space_tasks:Samples"`` and the like: classes, not registered ids.
"""

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from sample_spaces import ACTION_SPACES, OBSERVATION_SPACES

LENGTH = 5


class Samples(gymnasium.Env[Any, Any]):
    """Shows samples of one space and refuses actions that are not in the other."""

    def __init__(self, observation: str, action: str, *, masks: str = "") -> None:
        self._shown = _space(OBSERVATION_SPACES, observation)
        self.action_space = _space(ACTION_SPACES, action)
        self.observation_space = self._shown
        self._masks = masks
        if masks == "observation":
            mask = Box(0, 1, (self.action_space.n,), np.int8)
            self.observation_space = Dict({"seen": self._shown, "action_mask": mask})
        self._step = 0
        self._mask = np.ones(1, np.int8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._shown.seed(seed)
        self._step = 0
        return self._look()

    def step(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        if self._masks and not self._mask[action - self.action_space.start]:
            raise ValueError(f"action {action!r} is forbidden by {self._mask}")
        self._step += 1
        observation, info = self._look()
        return observation, float(self.np_random.normal()), self._step == LENGTH, False, info

    def _look(self) -> tuple[Any, dict[str, Any]]:
        observation = self._shown.sample()
        if not self._masks:
            return observation, {}
        self._mask = self.np_random.integers(0, 2, self.action_space.n, np.int8)
        self._mask[self.np_random.integers(self.action_space.n)] = 1
        if self._masks == "info":
            return observation, {"action_mask": self._mask}
        return {"seen": observation, "action_mask": self._mask}, {}


class Imitation(gymnasium.Env[Any, Any]):
    """Act as the observation says: both come from one space, and what agrees is paid."""

    def __init__(self, space: str) -> None:
        self.action_space = self.observation_space = IMITATED[space]
        self._step, self._shown = 0, None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._step, self._shown = 0, self.observation_space.sample()
        return self._shown, {}

    def step(self, action: Any) -> Any:
        reward = _agreement(self.action_space, self._shown, action) / LENGTH
        self._step += 1
        self._shown = self.observation_space.sample()
        return self._shown, reward, self._step == LENGTH, False, {}


class BrightQuarter(gymnasium.Env[Any, Any]):
    """Say which quarter of the image is bright."""

    def __init__(self) -> None:
        self.observation_space = Box(0, 255, (8, 8), np.uint8)
        self.action_space = Discrete(4)
        self._step = self._quarter = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return self._image(), {}

    def step(self, action: int) -> Any:
        reward = float(action == self._quarter) / LENGTH
        self._step += 1
        return self._image(), reward, self._step == LENGTH, False, {}

    def _image(self) -> Any:
        self._quarter = int(self.np_random.integers(4))
        row, column = divmod(self._quarter, 2)
        image = self.np_random.integers(0, 60, (8, 8), np.uint8)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 150
        return image


class Pictures(gymnasium.Env[Any, Any]):
    """Coloured noise, large enough for the convolutions of Nature."""

    def __init__(self) -> None:
        self.observation_space = Box(0, 255, (36, 40, 3), np.uint8)
        self.action_space = Discrete(3)
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._step = 0
        return self.observation_space.sample(), {}

    def step(self, action: int) -> Any:
        self._step += 1
        return self.observation_space.sample(), float(action == 1), self._step == LENGTH, False, {}


class PlainPictures(gymnasium.Env[Any, Any]):
    """Images of any size, no brighter than said, alone or under a key."""

    def __init__(self, shape: list[int], brightest: int, *, key: str = "", length: int = 5) -> None:
        self._picture = np.zeros(tuple(shape), np.uint8)
        self._picture[-1] = brightest
        space = Box(0, 255, tuple(shape), np.uint8)
        self.observation_space = Dict({key: space}) if key else space
        self.action_space = Discrete(2)
        self._key, self._length, self._step = key, length, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return self._image(), {}

    def step(self, action: int) -> Any:
        self._step += 1
        return self._image(), 0.0, self._step == self._length, False, {}

    def _image(self) -> Any:
        image = self._picture.copy()
        return {self._key: image} if self._key else image


class Edited(gymnasium.Env[Any, Any]):
    """A user's environment whose code changes: NUMBERS_SEEN says what it shows by now."""

    def __init__(self) -> None:
        size = int(os.environ["NUMBERS_SEEN"])
        self.observation_space = Box(-1.0, 1.0, (size,), np.float32)
        self.action_space = Discrete(2)
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return self._look(), {}

    def step(self, action: int) -> Any:
        self._step += 1
        return self._look(), 1.0, self._step == LENGTH, False, {}

    def _look(self) -> Any:
        generator = np.random.default_rng() if "UNSEEDED" in os.environ else self.np_random
        return generator.random(self.observation_space.shape, np.float32)


class Recall(gymnasium.Env[Any, Any]):
    """Show a number once, then nothing; pay if it is said at the end. Without memory: 1/3."""

    def __init__(self, delay: int = 3) -> None:
        self.observation_space = Discrete(4)  # 3 says nothing
        self.action_space = Discrete(3)
        self._delay = delay
        self._step = self._number = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step, self._number = 0, int(self.np_random.integers(3))
        return self._number, {}

    def step(self, action: int) -> Any:
        self._step += 1
        over = self._step > self._delay
        return 3, float(over and action == self._number), over, False, {}


class MaskedParts(gymnasium.Env[Any, Any]):
    """Of each component of the action only the last choice is allowed."""

    def __init__(self, space: str) -> None:
        self.observation_space = Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = MASKED[space]
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return self._look()

    def step(self, action: Any) -> Any:
        if np.concatenate([np.ravel(part) for part in action]).tolist() != [1, 2]:
            raise ValueError(f"action {action!r} is forbidden")
        self._step += 1
        observation, info = self._look()
        return observation, 1.0, self._step == LENGTH, False, info

    def _look(self) -> tuple[Any, dict[str, Any]]:
        return np.zeros(2, np.float32), {"action_mask": np.array([0, 1, 0, 0, 1], np.int8)}


class MaskedLater(gymnasium.Env[Any, Any]):
    """Says what is allowed after every step, and not after the reset."""

    def __init__(self) -> None:
        self.observation_space = Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = Discrete(2)
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self._step += 1
        info = {"action_mask": np.array([1, 0], np.int8)}
        return np.zeros(2, np.float32), 1.0, self._step == LENGTH, False, info


class MaskedBox(gymnasium.Env[Any, Any]):
    """Says which numbers are allowed, for which there is no use."""

    def __init__(self, masks: str) -> None:
        self._mask = {"action_mask": np.array([1.0, 0.0], np.float32)}
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self._is_seen = masks == "observation"
        seen = Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = Dict({"action_mask": seen}) if self._is_seen else seen
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._step = 0
        return self._look()

    def step(self, action: Any) -> Any:
        self._step += 1
        observation, info = self._look()
        return observation, 1.0, self._step == LENGTH, False, info

    def _look(self) -> tuple[Any, dict[str, Any]]:
        return (self._mask, {}) if self._is_seen else (np.zeros(2, np.float32), self._mask)


MASKED = {
    "tuple": Tuple([Discrete(2), Discrete(3)]),
    "grid": MultiDiscrete([[2, 3]]),
    "row": MultiDiscrete([2, 3]),
}

IMITATED = {
    "discrete": Discrete(4, start=1),
    "multi-discrete": MultiDiscrete([2, 3]),
    "multi-binary": MultiBinary(3),
    "box": Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)),
    "tuple": Tuple([Discrete(2), Box(-1.0, 1.0, (1,), np.float32)]),
    "dict": Dict({"gear": Discrete(3), "lamps": Dict({"all": MultiBinary(2)})}),
}


def _agreement(space: Any, shown: Any, action: Any) -> float:
    """1 for the same, less the further apart, mean over the parts."""
    if isinstance(space, Dict):
        return float(np.mean([_agreement(s, shown[k], action[k]) for k, s in space.items()]))
    if isinstance(space, Tuple):
        pairs = zip(space.spaces, shown, action, strict=True)
        return float(np.mean([_agreement(*pair) for pair in pairs]))
    if isinstance(space, Box):
        return 1.0 - float(np.mean(np.abs(shown - action) / (space.high - space.low)))
    return float(np.mean(np.asarray(shown) == np.asarray(action)))


def _space(spaces: dict[str, Any], name: str) -> Any:
    """A space by name; ``all`` is a Dict of every one."""
    return Dict(spaces) if name == "all" else spaces[name]
