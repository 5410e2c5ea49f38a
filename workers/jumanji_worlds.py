"""The games of Jumanji under ids that begin with ``jumanji/``, registered by importing this."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import MultiDiscrete

from reinforce.workers.functional_environment import import_jax, register

import_jax()  # before jumanji makes arrays

import jumanji  # noqa: E402
from jumanji.specs import jumanji_specs_to_gym_spaces  # noqa: E402

GAMES = (
    *("CVRP-v1", "Cleaner-v0", "Game2048-v1", "GraphColoring-v1", "JobShop-v0", "Knapsack-v1"),
    *("Maze-v0", "RubiksCube-v0", "RubiksCube-partly-scrambled-v0", "SlidingTilePuzzle-v0"),
)
"""Those with one reward, and masks for which a policy here has its choices."""


class JumanjiWorld:
    """A game of Jumanji, whose action masks are a part of its observations."""

    def __init__(
        self, name: str, categories: Mapping[str, int] | None = None, **kwargs: Any
    ) -> None:
        """Make the game.

        Args:
            name: Its name in Jumanji.
            categories: Parts of its observations to show one-hot, and how many values each has.
            kwargs: Arguments of its constructor.

        Raises:
            ValueError: Its observations have no such part.
        """
        self._game = jumanji.make(name, **kwargs)
        self.observation_space = jumanji_specs_to_gym_spaces(self._game.observation_spec)
        self.action_space = jumanji_specs_to_gym_spaces(self._game.action_spec)
        parts = self.observation_space.spaces
        for part, count in (categories or {}).items():
            if part not in parts:
                raise ValueError(f"categories: {part!r} is none of {list(parts)}")
            parts[part] = MultiDiscrete(np.full(parts[part].shape, count), dtype=np.int32)

    def reset(self, key: Any) -> Any:
        state, first = self._game.reset(key)
        return _as_dict(first.observation), state

    def step(self, key: Any, state: Any, action: Any) -> Any:
        state, now = self._game.step(state, action)
        return _as_dict(now.observation), state, now.reward, now.last()


def _as_dict(part: Any) -> Any:
    """Return a part of an observation with its fields, if it has any, as a dictionary."""
    if hasattr(part, "_asdict"):
        part = part._asdict()
    elif is_dataclass(part):
        part = vars(part)
    return {name: _as_dict(part[name]) for name in part} if isinstance(part, dict) else part


for _name in GAMES:
    register(f"jumanji/{_name}", partial(JumanjiWorld, _name))
