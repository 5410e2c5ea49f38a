"""A corridor with a turn at its end: the smallest task that cannot be solved without a memory.

From Bakker, "Reinforcement learning with long short-term memory", NeurIPS 2001.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiBinary
from numpy.typing import NDArray

_UP, _DOWN, _BACK, _ON = range(4)
_SIGNS = {_UP: (0, 1, 1), _DOWN: (1, 1, 0)}
_CORRIDOR, _JUNCTION = (1, 0, 1), (0, 1, 0)


class TMaze(gymnasium.Env[NDArray[np.int8], np.int64]):
    """A sign at the start tells where to turn at the end, and is not seen again.

    Actions: up, down, back, on. The right turn earns 4, the wrong one -0.1, and so does every step
    into a wall; a turn ends the episode. ``is_success`` in ``info`` says whether it was the right
    one. Every place of the corridor looks the same. There is no time limit.
    """

    observation_space = MultiBinary(3)
    action_space = Discrete(4)

    def __init__(self, length: int = 10) -> None:
        """Build the corridor.

        Args:
            length: Steps from the sign to the junction, >= 1: how long it has to be remembered.

        Raises:
            ValueError: It is shorter.
        """
        if length < 1:
            raise ValueError(f"length = {length} must be >= 1")
        self._length = length
        self._place, self._turn = 0, _UP

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int8], dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._place = 0
        self._turn = _UP if self.np_random.random() < 0.5 else _DOWN
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.int8], float, bool, bool, dict[str, Any]]:
        if action in _SIGNS and self._place == self._length:
            is_right = action == self._turn
            return self._seen(), 4.0 if is_right else -0.1, True, False, {"is_success": is_right}
        before = self._place
        if action == _ON:
            self._place = min(self._place + 1, self._length)
        elif action == _BACK:
            self._place = max(self._place - 1, 0)
        reward = 0.0 if self._place != before else -0.1
        return self._seen(), reward, False, False, {"is_success": False}

    def _seen(self) -> NDArray[np.int8]:
        if self._place == 0:
            return np.array(_SIGNS[self._turn], np.int8)
        return np.array(_JUNCTION if self._place == self._length else _CORRIDOR, np.int8)
