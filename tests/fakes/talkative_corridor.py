"""A corridor with a shaped reward, whose ``info`` says what was reached, alone and as a vector."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

LENGTH, MAX_STEPS = 5, 9


class Corridor(gymnasium.Env[np.ndarray, int]):
    """Pays 0.1 per place gained; the goal is to arrive at place 5, by action 1, within 9 steps.

    In ``info``: the energy of each step; the place in float32; from place 3 on the height; at the
    end ``is_success``, and on arrival by an even step a bonus. ``noise`` is what else it is given.
    """

    def __init__(self, noise: Any = None, once_marker: str = "") -> None:
        self.observation_space = Box(0.0, 10.0, (2,), np.float32)
        self.action_space = Discrete(2)
        self._noise, self._once_marker = noise, once_marker

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._place, self._steps = int(self.np_random.integers(0, 3)), 0
        return self._look(), {"energy": 1e6}

    def step(self, action: int) -> Any:
        before, self._steps = self._place, self._steps + 1
        self._place = max(before + 2 * int(action) - 1, 0)
        if self._once_marker and self._steps == 3:
            self._fail_once()
        info: dict[str, Any] = {"energy": 0.1 + 0.3 * int(action), "place": self._look()[0]}
        if self._place >= 3:
            info["height"] = self._place
        arrived = self._place == LENGTH
        if arrived or self._steps == MAX_STEPS:
            info["is_success"] = arrived
            if arrived and self._steps % 2 == 0:
                info["bonus"] = np.array(7)
        if self._noise is not None and self._place != 1:
            info["noise"] = float(self._noise) if self._noise in ("nan", "inf") else self._noise
        reward = 0.1 * (self._place - before)
        return self._look(), reward, arrived, not arrived and self._steps == MAX_STEPS, info

    def _look(self) -> np.ndarray:
        return np.array([self._place, 1.0], np.float32)

    def _fail_once(self) -> None:
        try:
            Path(self._once_marker).touch(exist_ok=False)
        except FileExistsError:
            return
        raise ArithmeticError("the corridor is faulty, once")


METRICS = {
    "energy": "sum",
    "place": "last",
    "height": "max",
    "bonus": "last",
}


def make_vector(num_envs: int, mode: str, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """Return Gymnasium's own vector of corridors, which builds ``info`` as its contract says."""
    makers = [lambda: Corridor(**kwargs)] * num_envs
    return SyncVectorEnv(makers, autoreset_mode=AutoresetMode[mode])


def make_alone(mode: str = "", **kwargs: Any) -> Corridor:
    """Return the same, alone."""
    return Corridor(**kwargs)


if "Corridor-v0" not in gymnasium.registry:
    gymnasium.register("Corridor-v0", entry_point=make_alone, vector_entry_point=make_vector)


def by_hand(trajectories: Any) -> dict[str, list[float]]:
    """Return [E] what the metrics have to be, from observations and actions alone."""
    metrics: dict[str, list[float]] = {name: [] for name in (*METRICS, "is_success")}
    starts = np.cumsum(trajectories.episode_lengths) - trajectories.episode_lengths
    for episode, (start, length) in enumerate(
        zip(starts, trajectories.episode_lengths, strict=True)
    ):
        steps = slice(start, start + length)
        place = trajectories.final_observations[episode, 0]
        places = [*trajectories.observations[steps, 0][1:], place]
        high = [value for value in places if value >= 3]
        metrics["energy"].append(sum(0.1 + 0.3 * action for action in trajectories.actions[steps]))
        metrics["place"].append(place)
        metrics["height"].append(max(high, default=np.nan))
        metrics["bonus"].append(7.0 if place == LENGTH and length % 2 == 0 else np.nan)
        metrics["is_success"].append(float(place == LENGTH))
    return metrics
