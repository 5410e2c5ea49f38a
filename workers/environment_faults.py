"""Checks of what an environment returns against Gymnasium's interface and its own spaces.

A random rollout checks every result. In training that would cost too much: a result is checked
after something has failed with it, and ``finite_values`` finds NaNs.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space

from reinforce.learner.policies.spaces import Path
from reinforce.workers.environment_source import step_in_words, where_in
from reinforce.workers.spaces import part_name, parts_of
from reinforce.workers.tickets import Ticket

NOTHING = object()
"""Stands for a result if the environment raised."""


class EnvironmentFaultError(Exception):
    """A violation of Gymnasium's interface; the message names it."""


class InvalidMaskError(EnvironmentFaultError):
    """An action mask that is absent, of the wrong size, or that allows nothing."""


class NonFiniteError(EnvironmentFaultError):
    """An environment gave a reward or an observation that is NaN or infinite."""


def note_place(
    error: BaseException,
    ticket: Ticket,
    episode: int,
    step: int,
    environment: gymnasium.Env[Any, Any],
    result: Any = NOTHING,
) -> None:
    """Add to an error where in a ticket it happened; the caller raises it again.

    Step 0 is the reset. Given the environment's result, it also checks that.

    Raises:
        EnvironmentFaultError: The result is wrong, or the environment wants to exit, which would
            end the worker's process without a reason. It takes the place of the error.
    """
    note = f"This was in {ticket.place(episode, step)}."
    error.add_note(note)
    fault = _fault_behind(error, step, environment, result)
    if fault:
        fault.add_note(note)
        raise fault from None


def _fault_behind(
    error: BaseException,
    step: int,
    environment: gymnasium.Env[Any, Any],
    result: Any,
) -> EnvironmentFaultError | None:
    """Return what says better than an error why a step failed, if anything does."""
    if isinstance(error, SystemExit):
        text = f"{step_in_words(step)} raises SystemExit: {error}".removesuffix(": ")
        return EnvironmentFaultError(text).with_traceback(error.__traceback__)
    if isinstance(error, InvalidMaskError):
        return InvalidMaskError(f"{where_in(environment, step)}: {error}")
    if result is not NOTHING:
        try:
            check = checked_step if step else checked_reset
            observation, *_ = check(where_in(environment, step, "reward"), result)
            where = where_in(environment, step)
            check_observation(where, environment.observation_space, observation)
        except EnvironmentFaultError as found:
            return found
        except Exception as other:  # noqa: BLE001 - of the user's spaces or objects, not the one to tell
            error.add_note(f"Checking the result failed, too: {other!r}")
    return None


def checked_reset(where: str, result: Any) -> tuple[Any, dict[str, Any]]:
    """Return (observation, info) as ``reset`` returned them, or raise EnvironmentFaultError."""
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise EnvironmentFaultError(f"{where} returned {_short(result)}, not (observation, info)")
    return result


def checked_step(where: str, result: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Return (observation, reward, terminated, truncated, info) as a step returned them.

    If it returned something else, the message of the EnvironmentFaultError begins with ``where``.
    """
    if not (isinstance(result, tuple) and len(result) == 5 and isinstance(result[4], dict)):
        raise EnvironmentFaultError(
            f"{where} returned {_short(result)}, not (observation, reward, terminated, truncated, "
            "info)"
        )
    observation, reward, terminated, truncated, info = result
    try:
        reward = float(reward)
    except (TypeError, ValueError):
        raise EnvironmentFaultError(
            f"{where} returned the reward {_short(reward)}, not a single number"
        ) from None
    if not np.isfinite(reward):
        raise EnvironmentFaultError(
            f"{where} returned the reward {reward}, which would make every return useless"
        )
    check_flags(where, terminated, truncated)
    return observation, reward, bool(terminated), bool(truncated), info


def check_flags(where: str, terminated: Any, truncated: Any) -> None:
    """Raise EnvironmentFaultError unless both flags are bools."""
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            raise EnvironmentFaultError(f"{where} returned {name} = {_short(flag)}, not a bool")


def check_observation(
    where: str, space: Space[Any], observation: Any, path: Path = ()
) -> list[str]:
    """Return sentences about oddities of an observation that do no harm.

    If a part does not fit its space, EnvironmentFaultError names ``where`` and the part.
    """
    name = part_name("observation", path)
    if fault := _fault_of_part(space, observation):
        raise EnvironmentFaultError(f"{where}: {name} {fault}")
    if isinstance(space, spaces.Box):
        if ((observation < space.low) | (observation > space.high)).any():
            return [
                f"{name} leaves the bounds of its space; this does no harm, because bounds are "
                "not used"
            ]
        return []
    return [
        oddity
        for key, part in parts_of(space)
        for oddity in check_observation(where, part, observation[key], (*path, key))
    ]


def _fault_of_part(space: Space[Any], value: Any) -> str:
    """Return what is wrong with one part of an observation, not counting nested parts."""
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict):
            return f"is {_short(value)}, not a dict of {list(space.spaces)}"
        if set(value) != set(space.spaces):
            return f"has the keys {list(value)}, but its space says {list(space.spaces)}"
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"is {_short(value)}, not a tuple of {len(space.spaces)}"
    elif isinstance(space, spaces.Box):
        return _fault_of_numbers(space, value)
    elif not space.contains(value):
        return f"is {_short(value)}, which is not in its space {space}"
    return ""


def _fault_of_numbers(space: spaces.Box, value: Any) -> str:
    if not isinstance(value, np.ndarray | np.generic):
        return (
            f"is a {type(value).__name__}, but its space {space} says an array of shape "
            f"{space.shape}"
        )
    if value.shape != space.shape:
        return f"has shape {value.shape}, but its space {space} says shape {space.shape}"
    if not np.can_cast(value.dtype, space.dtype, casting="same_kind"):
        return (
            f"is of dtype {value.dtype}, but its space {space} says {space.dtype}; it would lose "
            "digits"
        )
    return "" if np.isfinite(value).all() else f"holds a NaN or an infinity: {_short(value)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
