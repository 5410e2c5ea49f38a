"""What an environment returns, held against Gymnasium's interface and its own spaces."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space

from reinforce.learner.policies.spaces import Path
from reinforce.workers.tickets import Ticket

NOTHING = object()
"""Instead of a result where the environment raised."""


class EnvironmentFaultError(Exception):
    """Something that breaks the interface of Gymnasium's environments; the message names it."""


def note_place(
    error: BaseException,
    ticket: Ticket,
    episode: int,
    step: int,
    space: Space[Any],
    result: Any = NOTHING,
) -> None:
    """Note in an error where in a ticket it happened, for the caller to raise it again.

    Args:
        error: What the environment raised, or what could not be done with its result.
        ticket: That was played.
        episode: Of the ticket.
        step: Of the episode; 0 is the reset.
        space: Of the observations.
        result: What the environment returned.

    Raises:
        EnvironmentFaultError: What is wrong with the result, or that the environment wants to exit:
            that would end the worker's process, and nobody would hear why.
    """
    note = f"This was in {ticket.place(episode, step)}."
    error.add_note(note)
    try:
        _look_behind(error, step, space, result)
    except EnvironmentFaultError as fault:
        fault.add_note(note)
        fault.__suppress_context__ = True  # it says the same, and better
        raise
    except Exception as other:  # noqa: BLE001 - of the user's spaces or objects, not the one to tell
        error.add_note(f"Looking for what is wrong with it failed, too: {other!r}")


def _look_behind(error: BaseException, step: int, space: Space[Any], result: Any) -> None:
    where = f"step {step}" if step else "reset"
    if isinstance(error, SystemExit):
        raise EnvironmentFaultError(f"{where} raises SystemExit: {error}") from error
    if result is not NOTHING:
        observation, *_ = checked_step(where, result) if step else checked_reset(result)
        deque(look_at(where, space, observation), maxlen=0)


def checked_reset(result: Any) -> tuple[Any, dict[str, Any]]:
    """Return (observation, info) as ``reset`` returned them.

    Raises:
        EnvironmentFaultError: It returned something else.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise EnvironmentFaultError(f"reset returned {_short(result)}, not (observation, info)")
    return result


def checked_step(where: str, result: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Return (observation, reward, terminated, truncated, info) as a step returned them.

    Raises:
        EnvironmentFaultError: It returned something else; the message begins with ``where``.
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
            f"{where} paid the reward {_short(reward)}, not one number"
        ) from None
    if not np.isfinite(reward):
        raise EnvironmentFaultError(
            f"{where} paid the reward {reward}; every return would be lost with it"
        )
    check_flags(where, terminated, truncated)
    return observation, reward, bool(terminated), bool(truncated), info


def check_flags(where: str, terminated: Any, truncated: Any) -> None:
    """Raise EnvironmentFaultError unless both say yes or no."""
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            raise EnvironmentFaultError(f"{where} returned {name} = {_short(flag)}, not a bool")


def look_at(where: str, space: Space[Any], observation: Any) -> Iterator[str]:
    """Yield what is odd about an observation; raise what is wrong with it."""
    for path, part, value in _parts(where, space, observation):
        place = f"{where}: the observation" + (f" at {'.'.join(map(str, path))!r}" if path else "")
        if not isinstance(part, spaces.Box):
            if not part.contains(value):
                raise EnvironmentFaultError(
                    f"{place} is {_short(value)}, which is not in its space {part}"
                )
            continue
        if not isinstance(value, np.ndarray) or value.shape != part.shape:
            shape = value.shape if isinstance(value, np.ndarray) else type(value).__name__
            raise EnvironmentFaultError(
                f"{place} has shape {shape}, and its space {part} says shape {part.shape}"
            )
        if not np.can_cast(value.dtype, part.dtype, casting="same_kind"):
            raise EnvironmentFaultError(
                f"{place} is of dtype {value.dtype}, and its space {part} says {part.dtype}; it "
                "would lose its digits on the way"
            )
        if not np.isfinite(value).all():
            raise EnvironmentFaultError(f"{place} holds a NaN or an infinity: {_short(value)}")
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
        if isinstance(observation, dict) and set(observation) != set(space.spaces):
            raise EnvironmentFaultError(
                f"{where}: the observation{name} has the keys {list(observation)}, and its space "
                f"says {list(space.spaces)}"
            )
        if not isinstance(observation, dict):
            raise EnvironmentFaultError(
                f"{where}: the observation{name} is {_short(observation)}, not a dict of "
                f"{list(space.spaces)}"
            )
        for key, part in space.spaces.items():
            yield from _parts(where, part, observation[key], (*path, key))
    elif isinstance(space, spaces.Tuple):
        if not isinstance(observation, tuple) or len(observation) != len(space.spaces):
            raise EnvironmentFaultError(
                f"{where}: the observation{name} is {_short(observation)}, not a tuple of "
                f"{len(space.spaces)}"
            )
        for index, part in enumerate(space.spaces):
            yield from _parts(where, part, observation[index], (*path, index))
    else:
        yield path, space, observation


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
