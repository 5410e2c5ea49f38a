"""Environments that show what happens in them, frame by frame."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from configs.experiment import EnvironmentConfig
from workers.environment import EnvironmentFactory, UnsuitableEnvironmentError, make_environment

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
