"""Environments that hand over a picture of each of their states."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.closing import Closing
from reinforce.workers.environment import (
    EnvironmentFactory,
    UnsuitableEnvironmentError,
    make_environment,
)
from reinforce.workers.placement import Placement

_RENDER_MODE = "rgb_array"
_DEFAULT_FRAMES_PER_S = 30

FrameSink = Callable[[NDArray[np.uint8]], None]


def recording_frames(sink: FrameSink) -> EnvironmentFactory:
    """Return a factory of environments that hand their pictures to ``sink``."""

    def make(config: EnvironmentConfig, placement: Placement) -> gymnasium.Env[Any, Any]:
        kwargs = {**config.kwargs, "render_mode": _RENDER_MODE}
        environment = make_environment(config.model_copy(update={"kwargs": kwargs}), placement)
        return FrameRecorder(environment, sink, config.id)

    return make


def frames_per_second(config: EnvironmentConfig) -> int:
    """Return the speed of the environment's pictures, or refuse one that draws none."""
    with Closing() as closing:
        metadata = closing.add(make_environment(config)).metadata
    if _RENDER_MODE not in (metadata.get("render_modes") or ()):
        raise UnsuitableEnvironmentError(
            f"environment.id = {config.id!r} cannot be filmed: its metadata name the render_modes "
            f"{metadata.get('render_modes')}, and a video needs {_RENDER_MODE!r}"
        )
    return max(1, round(metadata.get("render_fps") or _DEFAULT_FRAMES_PER_S))


class FrameRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Hands a picture to ``sink`` after the reset and after each step, and changes nothing."""

    def __init__(self, environment: gymnasium.Env[Any, Any], sink: FrameSink, name: str) -> None:
        super().__init__(environment)
        self._sink = sink
        self._name = name

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed, options=options)
        self._record_frame()
        return result

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self._record_frame()
        return result

    def _record_frame(self) -> None:
        try:
            frame: Any = self.render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise UnsuitableEnvironmentError(
                f"environment.id = {self._name!r} cannot draw itself here: {error}"
            ) from None
        is_array = isinstance(frame, np.ndarray)
        if not (is_array and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3):
            what = f"{frame.dtype} {frame.shape}" if is_array else type(frame)
            raise UnsuitableEnvironmentError(
                f"environment.id = {self._name!r}: render() gave {what}, not [height, width, 3] "
                "uint8"
            )
        self._sink(frame)
