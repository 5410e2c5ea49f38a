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
from learner.spaces import ActionLayout, ObservationLayout, Path
from workers.actions import ActionDecoder
from workers.environment import EnvironmentSpec
from workers.observations import WritableRows
from workers.spaces import MASK_KEY
from workers.step_digest import step_digest


class TrialError(Exception):
    """Something that breaks the interface of Gymnasium's environments; the message names it."""


@dataclass
class Trial:
    """What happened, up to the end of the episode or of the trial.

    Attributes:
        digests: Of the row that each observation would be recorded as, with the reward and the end
            that came along; the first one after the reset.
        brightest: The brightest pixel of each image, by its name.
        reward: Of the last step.
        ended: The episode came to its end.
        warnings: What is odd and does no harm, each once.
    """

    digests: list[bytes] = field(default_factory=list)
    brightest: dict[str, int] = field(default_factory=dict)
    reward: float = 0.0
    ended: bool = False
    warnings: dict[str, None] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """Steps whose observation was looked at."""
        return len(self.digests) - 1

    def note(self, layout: ObservationLayout, rows: NDArray[Any]) -> None:
        """Take note of a row, which is not kept: thousands of images would fill the memory."""
        self.digests.append(step_digest(rows, self.reward, self.ended))
        for name, image in layout.pixels(rows).items():
            self.brightest[name] = max(self.brightest.get(name, 0), int(image.max()))


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
    while True:
        where = f"step {len(trial.digests)}" if trial.digests else "reset"
        rows = WritableRows(spec, 1)
        trial.warnings |= dict.fromkeys(_unused_mask(spec, observation, info))
        trial.warnings |= dict.fromkeys(_look_at(where, space, observation))
        if trial.ended:
            rows.write_last(0, observation)
        else:
            rows.write(0, observation, info)
        trial.note(spec.observation, rows.observations)
        if trial.ended or trial.num_steps == max_steps or time.monotonic() > deadline_s:
            return trial
        # Through the decoder, as in training: what it makes of them is tried, too.
        (action,) = decoder.singles(random_actions(spec.action, generator, rows.masks))
        observation, info = _step(environment, action, trial)


def _step(environment: gymnasium.Env[Any, Any], action: Any, trial: Trial) -> tuple[Any, Any]:
    where = f"step {trial.num_steps + 1}"
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
    trial.reward = reward
    trial.ended = bool(terminated or truncated)
    return observation, info


def _call(where: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # whatever a user's environment raises
        raise TrialError(f"{where} raises {type(error).__name__}: {error}") from error


def _unused_mask(spec: EnvironmentSpec, observation: Any, info: dict[str, Any]) -> Iterator[str]:
    is_seen = isinstance(observation, dict) and MASK_KEY in observation
    if spec.action_mask is not None or not (is_seen or MASK_KEY in info):
        return
    if spec.action.num_choices:
        yield (
            f"the environment gives an {MASK_KEY!r} after a step and gave none after reset, so "
            "none is used, and the policy may do what this one forbids; give one with every "
            "observation, that of reset included"
        )
    else:
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
    return make_distribution(layout).sample(zeros, uniforms, masks)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
