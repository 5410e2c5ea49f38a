"""Small environments whose returns are arithmetic. They check what they are given.

Registered on import, so that ``environment.id = "fake_environments:Countdown-v0"`` works in every
process, Ray's workers included.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, Text
from reference_mdp import HORIZON, ReferenceMDP


class Countdown(gymnasium.Env[np.ndarray, int]):
    """Lasts ``length`` steps, or a length drawn on reset if given a range; pays 1 per step."""

    def __init__(
        self, shortest: int = 3, longest: int = 3, *, terminates: bool = True, start: int = 0
    ) -> None:
        self.observation_space = Box(0.0, 1e6, (2,), np.float32)
        self.action_space = Discrete(2, start=start)
        self._range = (shortest, longest)
        self._terminates = terminates
        self._left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(self._range[0], self._range[1] + 1))
        return self._observation(), {}

    def step(self, action: int) -> Any:
        if self._left <= 0:
            raise RuntimeError("stepped after the end of the episode")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self._left -= 1
        over = self._left == 0
        ended, truncated = over and self._terminates, over and not self._terminates
        return self._observation(), 1.0, ended, truncated, {}

    def _observation(self) -> np.ndarray:
        return np.array([self._left, 1.0], np.float32)


class ShortOrLong(gymnasium.Env[np.ndarray, int]):
    """Nine in ten episodes: 2 steps, return 0. One in ten: 60 steps, return 1. Mean return 0.1.

    Every step takes ``step_s`` seconds, so short episodes return early, and making it ``make_s``.
    One process, the first to create ``slow_marker``, is ``slow_factor`` times slower than the
    others.
    """

    def __init__(
        self,
        step_s: float = 0.0,
        slow_marker: str = "",
        slow_factor: float = 5.0,
        make_s: float = 0.0,
    ) -> None:
        time.sleep(make_s)
        self.observation_space = Box(0.0, 1.0, (1,), np.float32)
        self.action_space = Discrete(2)
        self._step_s = step_s
        if slow_marker:
            try:
                Path(slow_marker).touch(exist_ok=False)
                self._step_s *= slow_factor
            except FileExistsError:
                pass
        self._length = self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._length = 60 if self.np_random.random() < 0.1 else 2
        self._step = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        time.sleep(self._step_s)
        self._step += 1
        over = self._step == self._length
        reward = 1.0 if over and self._length == 60 else 0.0
        return np.zeros(1, np.float32), reward, over, False, {}


class Faulty(Countdown):
    """A countdown that misbehaves at its second step, once per marker file or always."""

    def __init__(self, fault: str, once_marker: str = "", after_episodes: int = 0) -> None:
        super().__init__(shortest=3, longest=3)
        self._fault = fault
        self._once_marker = once_marker
        self._episodes_left = after_episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._episodes_left -= 1
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self._left == 1 and self._is_to_fail():
            if self._fault == "raise":
                raise ArithmeticError("the environment is faulty")
            if self._fault == "exit":
                os._exit(1)
            if self._fault == "hang":
                time.sleep(3600)
            if self._fault == "nan_reward":
                reward = float("nan")
            if self._fault == "inf_observation":
                observation = np.full(2, np.inf, np.float32)
        return observation, reward, terminated, truncated, info

    def _is_to_fail(self) -> bool:
        if self._episodes_left >= 0:
            return False
        if not self._once_marker:
            return True
        try:
            Path(self._once_marker).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class FaultySeed(Countdown):
    """Raises in the episodes of one seed in ``one_in`` (not in 0), whoever plays them."""

    def __init__(self, one_in: int = 300) -> None:
        super().__init__()
        self._one_in = one_in
        self._is_faulty = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._is_faulty = seed is not None and seed % self._one_in == 11
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> Any:
        if self._is_faulty:
            raise ArithmeticError("this episode is faulty")
        return super().step(action)


class Heavy(gymnasium.Env[np.ndarray, int]):
    """Observations of 2 kB, so that trajectories lie on the node where they were made.

    Lasts 20 to 60 steps of ``step_s`` seconds; pays if the action is the sign of what is observed.
    """

    def __init__(self, step_s: float = 0.002) -> None:
        self.observation_space = Box(-1e3, 1e3, (500,), np.float32)
        self.action_space = Discrete(2)
        self._step_s = step_s
        self._left = 0
        self._observation = np.zeros(500, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(20, 60))
        return self._observe(), {}

    def step(self, action: int) -> Any:
        time.sleep(self._step_s)
        reward = float(action == (self._observation[0] > 0))
        self._left -= 1
        return self._observe(), reward, self._left == 0, False, {}

    def _observe(self) -> np.ndarray:
        self._observation = self.np_random.standard_normal(500, np.float32)
        return self._observation


class DelayedReferenceMDP(ReferenceMDP):
    """The reference problem with long episodes that take longer, and a process that dies.

    One reset in a hundred, by its seed, begins an episode that takes ``delay_s`` per step. The
    first process to create ``kill_marker`` is killed at its 2000th reset.
    """

    def __init__(self, delay_s: float = 0.0, kill_marker: str = "") -> None:
        super().__init__()
        self._delay_s = delay_s
        self._kill_marker = kill_marker
        self._num_resets = 0
        self._is_slow = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed)
        self._num_resets += 1
        self._is_slow = (seed or 0) % 100 == 0
        if self._num_resets == 2000 and self._kill_marker:
            try:
                Path(self._kill_marker).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return result

    def step(self, action: int) -> Any:
        if self._is_slow:
            time.sleep(self._delay_s)
        return super().step(action)


class Drawn(Countdown):
    """A countdown that draws itself: odd sizes, brighter with every step; or badly."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, fault: str = "") -> None:
        super().__init__(shortest=4, longest=4)
        self.render_mode = render_mode
        self._fault = fault

    def render(self) -> Any:
        if self._fault == "shape":
            return np.zeros((5, 7), np.uint8)
        if self._fault == "dependency":
            raise gymnasium.error.DependencyNotInstalled("no drawing; run `pip install drawing`")
        return np.full((33, 47, 3), 50 * (4 - self._left), np.uint8)


class Hanging(Countdown):
    """Is never made."""

    def __init__(self) -> None:
        time.sleep(3600)


class WritesText(Countdown):
    """Has an action space that no policy here can act in."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Text(4)  # type: ignore[assignment]


if "DelayedReferenceMDP-v0" not in gymnasium.registry:
    gymnasium.register(
        "DelayedReferenceMDP-v0", entry_point=DelayedReferenceMDP, max_episode_steps=HORIZON
    )

for _name, _class in {
    "Countdown-v0": Countdown,
    "ShortOrLong-v0": ShortOrLong,
    "Faulty-v0": Faulty,
    "Heavy-v0": Heavy,
    "FaultySeed-v0": FaultySeed,
    "Drawn-v0": Drawn,
    "WritesText-v0": WritesText,
}.items():
    if _name not in gymnasium.registry:
        gymnasium.register(_name, entry_point=_class)
