"""Environments that pass on a picture of each of their states."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.closing import Closing
from reinforce.workers.environment import (
    EnvironmentFactory,
    UnsuitableEnvironmentError,
    make_environment,
    make_vector_environment,
)
from reinforce.workers.placement import Placement

_RENDER_MODE = "rgb_array"
_DEFAULT_FRAMES_PER_S = 30

FrameSink = Callable[[NDArray[np.uint8]], None]


def recording_frames(sink: FrameSink) -> EnvironmentFactory:
    """Return a factory of environments that pass their pictures to ``sink``."""

    def make(config: EnvironmentConfig, placement: Placement) -> gymnasium.Env[Any, Any]:
        return FrameRecorder(make_environment(_drawing(config), placement), sink, config.id)

    return make


def frames_per_second(config: EnvironmentConfig) -> int:
    """Return the frame rate of the environment's pictures, or refuse one that draws none."""
    with Closing() as closing:
        metadata = closing.add(make_environment(config)).metadata
    if _RENDER_MODE not in (metadata.get("render_modes") or ()):
        raise UnsuitableEnvironmentError(
            f"environment.id = {config.id!r} cannot be filmed: its metadata lists the render_modes "
            f"{metadata.get('render_modes')}, but a video needs {_RENDER_MODE!r}"
        )
    return max(1, round(metadata.get("render_fps") or _DEFAULT_FRAMES_PER_S))


class FrameRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Passes a picture to ``sink`` after the reset and each step, and changes nothing."""

    def __init__(
        self,
        environment: gymnasium.Env[Any, Any],
        sink: FrameSink,
        name: str,
        begins: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wrap an environment.

        Args:
            environment: One that draws arrays.
            sink: Receives each picture.
            name: Of the environment, for messages.
            begins: Called at each reset; returns whether to hand over what follows it.
        """
        super().__init__(environment)
        self._sink, self._name, self._begins = sink, name, begins
        self._is_on = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._is_on = self._begins()
        result = super().reset(seed=seed, options=options)
        self._record_frame()
        return result

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self._record_frame()
        return result

    def _record_frame(self) -> None:
        if self._is_on:
            self._sink(_drawn(self.render, self._name))


class LaneRecorder(VectorWrapper):
    """Passes pictures of one lane to ``sink`` until its episode in one round is over."""

    def __init__(
        self, environment: VectorEnv[Any, Any, Any], sink: FrameSink, name: str, episode: int
    ) -> None:
        super().__init__(environment)
        self._sink, self._name = sink, name
        self._round, self._lane = divmod(episode, environment.num_envs)
        self._num_rounds = 0
        self._is_on = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed, options=options)
        if not (options and "reset_mask" in options):  # which only keeps idle lanes going
            self._is_on = self._num_rounds == self._round
            self._num_rounds += 1
            self._record_frame()
        return result

    def step(self, actions: Any) -> Any:
        result = super().step(actions)
        self._record_frame()
        _, _, terminated, truncated, _ = result
        if terminated[self._lane] or truncated[self._lane]:
            self._is_on = False
        return result

    def _record_frame(self) -> None:
        if self._is_on:
            self._sink(_drawn(lambda: (self.render() or ())[self._lane], self._name))


class EpisodeCamera:
    """Makes environments for a ``RolloutWorker`` that show one episode of a ticket.

    Args:
        episode: Its number in the ticket.
        sink: Receives its pictures.
    """

    def __init__(self, episode: int, sink: FrameSink) -> None:
        self._episode, self._sink = episode, sink
        self._num_begun = 0

    def make(self, config: EnvironmentConfig, placement: Placement) -> gymnasium.Env[Any, Any]:
        """Return an environment for one lane; episodes begin in order, in any lane."""
        environment = make_environment(_drawing(config), placement)
        return FrameRecorder(environment, self._sink, config.id, self._begins)

    def make_vector(
        self, config: EnvironmentConfig, num_lanes: int, placement: Placement
    ) -> VectorEnv[Any, Any, Any]:
        """Return a vector implementation, whose lanes hold the episodes in order."""
        environment = make_vector_environment(_drawing(config), num_lanes, placement)
        return LaneRecorder(environment, self._sink, config.id, self._episode)

    def _begins(self) -> bool:
        self._num_begun += 1
        return self._num_begun == self._episode + 1


def _drawing(config: EnvironmentConfig) -> EnvironmentConfig:
    """Return an environment that draws pictures."""
    return config.model_copy(update={"kwargs": {**config.kwargs, "render_mode": _RENDER_MODE}})


def _drawn(draw: Callable[[], Any], name: str) -> NDArray[np.uint8]:
    """Return a [height, width, 3] picture.

    Raises:
        UnsuitableEnvironmentError: ``render`` returned something else.
    """
    try:
        frame: Any = draw()
    except gymnasium.error.DependencyNotInstalled as error:
        raise UnsuitableEnvironmentError(
            f"environment.id = {name!r} cannot draw itself here: {error}"
        ) from None
    if not isinstance(frame, np.ndarray):
        what = str(type(frame))
    elif frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
        return frame
    else:
        what = f"{frame.dtype} {frame.shape}"
    raise UnsuitableEnvironmentError(
        f"environment.id = {name!r}: render() gave {what}, not [height, width, 3] uint8"
    )
