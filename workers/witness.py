"""Environments that note what they show and what is done to them, as they understand it."""

from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium

from configs.experiment import EnvironmentConfig
from workers.environment import EnvironmentFactory, make_environment
from workers.spaces import MASK_KEY


class Step(NamedTuple):
    """What was seen and what was done, both in the form of the environment.

    Attributes:
        observation: What was seen.
        action: What was done.
        mask: The action mask that came along in ``info``; None if there was none.
        begins: Whether it is the first step of an episode.
    """

    observation: Any
    action: Any
    mask: Any = None
    begins: bool = False


class Witness(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends every step to a list, and changes nothing."""

    def __init__(self, environment: gymnasium.Env[Any, Any], steps: list[Step]) -> None:
        super().__init__(environment)
        self._steps = steps
        self._seen: Any = None
        self._mask: Any = None
        self._begins = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset and remember what is seen."""
        self._seen, info = super().reset(seed=seed, options=options)
        self._mask, self._begins = info.get(MASK_KEY), True
        return self._seen, info

    def step(self, action: Any) -> Any:
        """Note what was seen and what is done, and step."""
        seen, mask = deepcopy((self._seen, self._mask))  # some write into what they showed
        self._steps.append(Step(seen, action, mask, self._begins))
        result = super().step(action)
        self._seen, self._mask, self._begins = result[0], result[4].get(MASK_KEY), False
        return result


def witnessed(steps: list[Step]) -> EnvironmentFactory:
    """Return a factory of environments that note their steps."""

    def make(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
        return Witness(make_environment(config), steps)

    return make
