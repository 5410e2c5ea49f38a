"""A trial: one episode of random actions, in which everything that comes back is looked at."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space
from numpy.typing import NDArray

from learner.distributions import Masks, make_distribution
from learner.spaces import ActionLayout, Path
from workers.actions import ActionDecoder
from workers.environment import EnvironmentSpec
from workers.observations import WritableRows
from workers.spaces import MASK_KEY


class TrialError(Exception):
    """Something that breaks the interface of Gymnasium's environments; the message names it."""


@dataclass
class Trial:
    """What happened, up to the end of the episode or of the trial.

    Attributes:
        observations: Rows as they would be recorded, the first one after the reset.
        rewards: One per step.
        ended: The episode came to its end.
        warnings: What is odd and does no harm, each once.
    """

    observations: list[NDArray[Any]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    ended: bool = False
    warnings: dict[str, None] = field(default_factory=dict)

    def first_difference(self, other: "Trial") -> int | None:
        """Return the step from which two trials differ, 0 for the reset, or None."""
        pairs = zip(self.observations, other.observations, strict=False)
        for step, (mine, theirs) in enumerate(pairs):
            if mine.tobytes() != theirs.tobytes() or self.rewards[:step] != other.rewards[:step]:
                return step
        is_same_length = len(self.rewards) == len(other.rewards) and self.ended == other.ended
        return None if is_same_length else min(len(self.rewards), len(other.rewards))


def play_trial(
    environment: gymnasium.Env[Any, Any],
    spec: EnvironmentSpec,
    *,
    seed: int,
    max_steps: int,
    deadline_s: float = float("inf"),
) -> Trial:
    """Reset with a seed and take random actions, the same ones for the same seed.

    Raises:
        TrialError: The environment raises, or returns something of the wrong form.
        InvalidMaskError: An action mask is absent or of the wrong form.
    """
    trial = Trial()
    space = environment.observation_space
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    result = _call("reset", lambda: environment.reset(seed=seed))
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise TrialError(f"reset returned {_short(result)}, not (observation, info)")
    observation, info = result
    trial.warnings |= dict.fromkeys(_unused_mask(spec, observation, info))
    while True:
        where = f"step {len(trial.rewards)}" if trial.rewards else "reset"
        rows = WritableRows(spec, 1)
        trial.warnings |= dict.fromkeys(_look_at(where, space, observation))
        if trial.ended:
            rows.write_last(0, observation)
        else:
            rows.write(0, observation, info)
        trial.observations.append(rows.observations)
        if trial.ended or len(trial.rewards) == max_steps or time.monotonic() > deadline_s:
            return trial
        # Through the decoder, as in training: what it makes of them is tried, too.
        (action,) = decoder.singles(random_actions(spec.action, generator, rows.masks))
        observation, info = _step(environment, action, trial)


def _step(environment: gymnasium.Env[Any, Any], action: Any, trial: Trial) -> tuple[Any, Any]:
    where = f"step {len(trial.rewards) + 1}"
    result = _call(where, lambda: environment.step(action))
    if not (isinstance(result, tuple) and len(result) == 5 and isinstance(result[4], dict)):
        raise TrialError(
            f"{where} returned {_short(result)}, not (observation, reward, terminated, truncated, "
            "info)"
        )
    observation, reward, terminated, truncated, info = result
    try:
        reward = float(reward)
    except (TypeError, ValueError):
        raise TrialError(f"{where} paid the reward {_short(reward)}, not one number") from None
    if not np.isfinite(reward):
        raise TrialError(f"{where} paid the reward {reward}; every return would be lost with it")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            raise TrialError(f"{where} returned {name} = {_short(flag)}, not a bool")
    trial.rewards.append(reward)
    trial.ended = bool(terminated or truncated)
    return observation, info


def _call(where: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # whatever a user's environment raises
        raise TrialError(f"{where} raises {type(error).__name__}: {error}") from error


def _unused_mask(spec: EnvironmentSpec, observation: Any, info: dict[str, Any]) -> Iterator[str]:
    is_seen = isinstance(observation, dict) and MASK_KEY in observation
    if spec.action_mask is None and (is_seen or MASK_KEY in info):
        yield (
            f"the environment gives an {MASK_KEY!r}, and masks are used only where every part of "
            "the action space is Discrete or MultiDiscrete; the policy may do what this one forbids"
        )


def _look_at(where: str, space: Space[Any], observation: Any) -> Iterator[str]:
    """Yield what is odd about an observation; raise what is wrong with it."""
    for path, part, value in _parts(where, space, observation):
        place = f"{where}: the observation" + (f" at {'.'.join(map(str, path))!r}" if path else "")
        if not isinstance(part, spaces.Box):
            if not part.contains(value):
                raise TrialError(f"{place} is {_short(value)}, which is not in its space {part}")
            continue
        if not isinstance(value, np.ndarray) or value.shape != part.shape:
            shape = value.shape if isinstance(value, np.ndarray) else type(value).__name__
            raise TrialError(
                f"{place} has shape {shape}, and its space {part} says shape {part.shape}"
            )
        if not np.can_cast(value.dtype, part.dtype, casting="same_kind"):
            raise TrialError(
                f"{place} is of dtype {value.dtype}, and its space {part} says {part.dtype}; it "
                "would lose its digits on the way"
            )
        if not np.isfinite(value).all():
            raise TrialError(f"{place} holds a NaN or an infinity: {_short(value)}")
        if ((value < part.low) | (value > part.high)).any():
            yield (
                f"the observation{' at ' + repr('.'.join(map(str, path))) if path else ''} leaves "
                "the bounds of its space; they are not used, so nothing is lost"
            )


def _parts(
    where: str, space: Space[Any], observation: Any, path: Path = ()
) -> Iterator[tuple[Path, Space[Any], Any]]:
    """Yield the parts of a nested observation with their spaces."""
    name = f" at {'.'.join(map(str, path))!r}" if path else ""
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, dict) or set(observation) != set(space.spaces):
            raise TrialError(
                f"{where}: the observation{name} is {_short(observation)}, not a dict of "
                f"{list(space.spaces)}"
            )
        for key, part in space.spaces.items():
            yield from _parts(where, part, observation[key], (*path, key))
    elif isinstance(space, spaces.Tuple):
        if not isinstance(observation, tuple) or len(observation) != len(space.spaces):
            raise TrialError(
                f"{where}: the observation{name} is {_short(observation)}, not a tuple of "
                f"{len(space.spaces)}"
            )
        for index, part in enumerate(space.spaces):
            yield from _parts(where, part, observation[index], (*path, index))
    else:
        yield path, space, observation


def random_actions(
    layout: ActionLayout, generator: np.random.Generator, masks: Masks, num_rows: int = 1
) -> NDArray[Any]:
    """Return [num_rows, ...] rows of actions as a policy would take them that knows nothing."""
    per_row = () if layout.is_one_choice else (layout.num_uniforms,)
    uniforms = generator.random((num_rows, *per_row))
    zeros = np.zeros((num_rows, layout.num_outputs + layout.num_gaussians), np.float32)
    return make_distribution(layout).sample(zeros, uniforms, masks)[0]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
