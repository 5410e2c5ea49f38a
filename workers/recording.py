"""Environments that show what happens in them, frame by frame."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import (
    EnvironmentFactory,
    UnsuitableEnvironmentError,
    make_environment,
)
from reinforce.workers.spaces import MASK_KEY

RENDER_MODE = "rgb_array"
_DEFAULT_FRAMES_PER_S = 30

FrameSink = Callable[[NDArray[np.uint8]], None]


class Filmed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Hands a picture to ``sink`` after the reset and after each step, and changes nothing."""

    def __init__(self, environment: gymnasium.Env[Any, Any], sink: FrameSink, name: str) -> None:
        super().__init__(environment)
        self._sink = sink
        self._name = name

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset and hand over the first picture."""
        result = super().reset(seed=seed, options=options)
        self._film()
        return result

    def step(self, action: Any) -> Any:
        """Step and hand over the next picture."""
        result = super().step(action)
        self._film()
        return result

    def _film(self) -> None:
        try:
            frame: Any = self.render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise UnsuitableEnvironmentError(
                f"environment.id = {self._name!r} cannot draw itself here: {error}"
            ) from None
        is_picture = isinstance(frame, np.ndarray) and frame.dtype == np.uint8
        if not (is_picture and frame.ndim == 3 and frame.shape[2] == 3):
            what = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
            raise UnsuitableEnvironmentError(
                f"environment.id = {self._name!r}: render() gave {what}, not [height, width, 3] "
                "uint8"
            )
        self._sink(frame)


def filmed(sink: FrameSink) -> EnvironmentFactory:
    """Return a factory of environments that hand their pictures to ``sink``."""

    def make(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
        return Filmed(make_environment(_rendering(config)), sink, config.id)

    return make


def frames_per_second(config: EnvironmentConfig) -> int:
    """Return the speed at which the environment wants to be shown.

    Raises:
        UnsuitableEnvironmentError: It cannot draw pictures.
    """
    environment = make_environment(config)
    metadata = environment.metadata
    environment.close()
    if RENDER_MODE not in (metadata.get("render_modes") or ()):
        raise UnsuitableEnvironmentError(
            f"environment.id = {config.id!r} cannot be filmed: its metadata name the render_modes "
            f"{metadata.get('render_modes')}, and a video needs {RENDER_MODE!r}"
        )
    return max(1, round(metadata.get("render_fps") or _DEFAULT_FRAMES_PER_S))


def _rendering(config: EnvironmentConfig) -> EnvironmentConfig:
    return config.model_copy(update={"kwargs": {**config.kwargs, "render_mode": RENDER_MODE}})


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


class TransitionRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
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


def recording_transitions(steps: list[Step]) -> EnvironmentFactory:
    """Return a factory of environments that note their steps."""

    def make(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
        return TransitionRecorder(make_environment(config), steps)

    return make
