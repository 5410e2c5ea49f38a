"""Wrappers that Gymnasium lacks, for games from pixels: named like its own in a configuration.

``docs/environments.md`` says what each changes.
"""

from typing import Any, SupportsFloat, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from numpy.typing import NDArray

Step = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]
"""What ``step`` returns: observation, reward, terminated, truncated and info."""

_Start = tuple[Any, int]
"""State of an emulator, and the action that leads from there to the start of an episode."""

_LONGEST_GAME_STEPS = 3000
"""A random game ends sooner."""


class ActionSubset(gymnasium.ActionWrapper[Any, int, Any]):
    """Some of the actions of a Discrete space, numbered from 0."""

    def __init__(self, env: gymnasium.Env[Any, Any], actions: tuple[int, ...]) -> None:
        """Choose them.

        Args:
            env: An environment whose action space is Discrete.
            actions: Which of its actions are left, in the new order; at least one.

        Raises:
            ValueError: The space is another one, or an action is not in it or named twice.
        """
        super().__init__(env)
        space = env.action_space
        is_subset = isinstance(space, Discrete) and all(action in space for action in actions)
        if not is_subset or not actions or len(set(actions)) < len(actions):
            raise ValueError(
                f"actions = {list(actions)} must be different actions of a Discrete space, and "
                f"this one is {space}"
            )
        self._actions = actions
        self.action_space = cast("gymnasium.Space[int]", Discrete(len(actions)))

    def action(self, action: int) -> int:
        return self._actions[action]


class PointsAsEpisodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A point of an Atari game, or a few, is an episode. A reward that is not 0 is a point.

    An episode begins where the game does, or after a point of one game that was played at random
    when the wrapper was made: as often after a point that was lost as after one that was won, which
    the start of the game counts as, for in Pong the loser is served to. Its seed decides. The
    emulator draws no random numbers, and is put back into the state of a step before, which is
    taken again, for a state comes without its screen: an episode depends on its seed alone, and no
    ROM is loaded to begin one.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], points: int = 1) -> None:
        """Wrap a game; innermost, for others that ``reset`` has to pass through.

        Args:
            env: A game of ALE's without sticky actions.
            points: With which an episode ends, >= 1. Those after the first begin as the policy
                has ended the one before.

        Raises:
            ValueError: It is no such game, has another limit of time than its own or wrappers of
                its own already, or takes no points from whoever plays at random.
        """
        super().__init__(env)
        if points < 1:
            raise ValueError(f"points = {points} must be >= 1")
        self._emulator: Any = env.unwrapped
        if not hasattr(self._emulator, "restore_state"):
            raise ValueError(f"PointsAsEpisodes needs a game whose id begins with ALE/, not {env}")
        if env.spec is None or env.spec.kwargs.get("repeat_action_probability") != 0:
            raise ValueError(
                "PointsAsEpisodes needs environment.kwargs {repeat_action_probability: 0.0}: an "
                "episode is what its seed says, and this emulator would draw numbers of its own"
            )
        if env.spec.max_episode_steps is not None:
            raise ValueError(
                "PointsAsEpisodes goes inside of a limit of time: use the wrapper TimeLimit behind "
                f"it instead of environment.max_episode_steps {env.spec.max_episode_steps}"
            )
        if env.spec.additional_wrappers:
            inside = ", ".join(wrapper.name for wrapper in env.spec.additional_wrappers)
            raise ValueError(
                f"PointsAsEpisodes comes before {inside}, which would go on from one episode to "
                "the next: name it first among the wrappers"
            )
        self._points, self._points_left = points, points
        self._starts = self._random_game()

    def step(self, action: Any) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._points_left -= float(reward) != 0
        return observation, reward, terminated or self._points_left <= 0, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.np_random, _ = seeding.np_random(seed)
        starts = self._starts[self.np_random.integers(2)]
        state, action = starts[self.np_random.integers(len(starts))]
        self._emulator.restore_state(state)
        observation, _, _, _, info = self.env.step(action)
        self._points_left = self._points
        return observation, info

    def _random_game(self) -> tuple[list[_Start], list[_Start]]:
        """Return the starts after a won point, the game's own among them, and after a lost one."""
        self.env.reset(seed=0)
        won, lost = [(self._state(), 0)], list[_Start]()
        actions = np.random.default_rng(0).integers(
            self._emulator.action_space.n, size=_LONGEST_GAME_STEPS
        )
        for action in map(int, actions):
            state = self._state()
            _, reward, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                break
            if float(reward):
                (won if float(reward) > 0 else lost).append((state, action))
        if not lost:
            raise ValueError(f"PointsAsEpisodes: at random no point is lost in {self.env}")
        return won, lost

    def _state(self) -> Any:
        return self._emulator.clone_state(include_rng=True)


class FrameDifferences(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What moves in an image: each frame less the one before it, as float32.

    A gray frame is cut to the part that matters, made smaller, and freed of its background. What is
    seen is that, less ``previous`` times the same of the frame before.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        previous: float = 1.0,
        rows: tuple[int, int] | None = None,
        block: int = 1,
        background: int = 0,
        unit: int = 255,
    ) -> None:
        """Wrap an environment that shows images.

        Args:
            env: An environment whose observations are uint8 images [height, width].
            previous: Share of the frame before that is subtracted, in [0, 1]. 1: what stands still
                cannot be seen. Below 1 it is seen, too, and what moves leaves a trail.
            rows: First row that is seen and the one after the last; None: all.
            block: Of each square of so many pixels a side, >= 1, the mean is seen.
            background: Brightness of what is empty, in [0, 255]; it is seen as 0.
            unit: Difference of brightness, >= 1, that is seen as 1.

        Raises:
            ValueError: The observations are no such images, or no blocks fit into them.
        """
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) != 2:
            raise ValueError(f"FrameDifferences needs gray images of uint8, not {space}")
        first, end = rows or (0, space.shape[0])
        shape = (len(range(space.shape[0])[first:end]) // block, space.shape[1] // block)
        if not all(shape):
            raise ValueError(f"rows = {rows} and block = {block} leave nothing of {space}")
        if unit < 1:
            raise ValueError(f"unit = {unit} must be >= 1")
        self._unit = unit * block**2
        self._previous, self._block, self._background = previous, block, background
        self._rows = slice(first, first + shape[0] * block)
        self._columns = slice(0, shape[1] * block)
        self._before = np.zeros(shape, np.float32)
        self.observation_space = Box(-255 / unit, 255 / unit, shape, np.float32)

    def step(self, action: Any) -> Step:
        image, reward, terminated, truncated, info = self.env.step(action)
        return self._difference(image), reward, terminated, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        image, info = self.env.reset(seed=seed, options=options)
        self._before = self._reduced(image)  # nothing has moved yet
        return self._difference(image), info

    def _difference(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        now = self._reduced(image)
        difference = now - np.float32(self._previous) * self._before
        self._before = now
        return difference

    def _reduced(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return [height, width] how much brighter than the background each block is, in units."""
        seen, block = image[self._rows, self._columns], self._block
        total = np.zeros(self._before.shape, np.float32)
        for row in range(block):
            for column in range(block):
                total += seen[row::block, column::block]
        total -= self._background * block**2
        total /= self._unit
        return total
