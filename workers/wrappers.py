"""Wrappers for games from pixels that Gymnasium lacks, named like its own in a configuration.

``docs/environments.md`` explains them.
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
"""State of an emulator, with the action that leads from it to the start of an episode."""

_LONGEST_GAME_STEPS = 3000
"""A random game ends sooner."""


class ActionSubset(gymnasium.ActionWrapper[Any, int, Any]):
    """Some of the actions of a Discrete space, numbered from 0."""

    def __init__(self, env: gymnasium.Env[Any, Any], actions: tuple[int, ...]) -> None:
        """Choose the actions.

        Args:
            env: An environment whose action space is Discrete.
            actions: The actions to keep, in the new order; at least one.

        Raises:
            ValueError: The space is not Discrete, or an action is missing in it or named twice.
        """
        super().__init__(env)
        space = env.action_space
        is_subset = isinstance(space, Discrete) and all(action in space for action in actions)
        if not is_subset or not actions or len(set(actions)) < len(actions):
            raise ValueError(
                f"actions = {list(actions)} must be different actions of a Discrete space, but the "
                f"space is {space}"
            )
        self._actions = actions
        self.action_space = cast("gymnasium.Space[int]", Discrete(len(actions)))

    def action(self, action: int) -> int:
        return self._actions[action]


class PointsAsEpisodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Makes an episode of one point of an Atari game, or a few. A reward other than 0 is a point.

    An episode begins where the game does, or after a point of one game, which the wrapper plays at
    random when it is created. Half of the episodes begin after a lost point, half after a won one
    or at the start of the game, since in Pong the loser is served to. The seed decides. The
    emulator draws no random numbers. It is restored to the state one step earlier, and that step is
    repeated, because a state has no screen. So an episode depends only on its seed, and no ROM is
    loaded to begin one.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], points: int = 1) -> None:
        """Wrap a game; innermost, so that ``reset`` passes through the other wrappers.

        Args:
            env: An ALE game without sticky actions.
            points: Points per episode, >= 1. Those after the first begin as the policy ended the
                one before.

        Raises:
            ValueError: It is not such a game, already has another time limit or other wrappers, or
                random play loses no points.
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
                "episode must depend only on its seed, but this emulator would draw its own "
                "random numbers"
            )
        if env.spec.max_episode_steps is not None:
            raise ValueError(
                "PointsAsEpisodes must be inside a time limit: use the wrapper TimeLimit after it "
                f"instead of environment.max_episode_steps {env.spec.max_episode_steps}"
            )
        if env.spec.additional_wrappers:
            inside = ", ".join(wrapper.name for wrapper in env.spec.additional_wrappers)
            raise ValueError(
                f"PointsAsEpisodes comes before {inside}, which would continue from one episode to "
                "the next: list it first among the wrappers"
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
        """Return the starts after a won point, including the game's own, and after a lost one."""
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
            raise ValueError(f"PointsAsEpisodes: random play loses no point in {self.env}")
        return won, lost

    def _state(self) -> Any:
        return self._emulator.clone_state(include_rng=True)


class FrameDifferences(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Shows what moves in an image: the difference of frames, as float32.

    A gray frame is cropped, reduced, and freed of its background. Then ``previous`` times the same
    of the frame before is subtracted.
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
        """Wrap an environment with image observations.

        Args:
            env: An environment whose observations are uint8 images [height, width].
            previous: Share of the frame before that is subtracted, in [0, 1]. 1: still objects are
                invisible. Below 1 they are visible, and moving ones leave a trail.
            rows: First row to keep, and the one after the last; None: all.
            block: Side of the squares of pixels that are averaged, >= 1.
            background: Brightness that becomes 0, in [0, 255].
            unit: Difference of brightness that becomes 1, >= 1.

        Raises:
            ValueError: The observations are not such images, or no block fits into them.
        """
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) != 2:
            raise ValueError(f"FrameDifferences needs gray uint8 images, not {space}")
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
        """Return [height, width] the brightness of each block above the background, in units."""
        seen, block = image[self._rows, self._columns], self._block
        total = np.zeros(self._before.shape, np.float32)
        for row in range(block):
            for column in range(block):
                total += seen[row::block, column::block]
        total -= self._background * block**2
        total /= self._unit
        return total
