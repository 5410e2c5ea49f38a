"""Environments that note what they show and what is done to them, as they understand it."""

from copy import deepcopy
from typing import Any

import gymnasium

from configs.experiment import EnvironmentConfig
from workers.environment import EnvironmentFactory, make_environment

Step = tuple[Any, Any]
"""An observation and the action that was taken on it, both in the form of the environment."""


class Witness(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends every step to a list, and changes nothing."""

    def __init__(self, environment: gymnasium.Env[Any, Any], steps: list[Step]) -> None:
        super().__init__(environment)
        self._steps = steps
        self._seen: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset and remember what is seen."""
        self._seen, info = super().reset(seed=seed, options=options)
        return self._seen, info

    def step(self, action: Any) -> Any:
        """Note what was seen and what is done, and step."""
        self._steps.append((deepcopy(self._seen), action))  # some write into what they showed
        result = super().step(action)
        self._seen = result[0]
        return result


def witnessed(steps: list[Step]) -> EnvironmentFactory:
    """Return a factory of environments that note their steps."""

    def make(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
        return Witness(make_environment(config), steps)

    return make
