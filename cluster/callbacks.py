"""Callbacks: functions of the user that see each update and each evaluation, and may end the run.

They are called in the process that drives the run, with what the journal holds. Nothing that they
do changes what is learned, except when it ends.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from reinforce.cluster.errors import CallbackError, UsageError, traceback_of
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import imported

_NAME = re.compile(r"[A-Za-z0-9_.\-][A-Za-z0-9_.\- ]{0,99}")


class TrainingEvent:
    """An update or an evaluation that has just been made, as a callback sees it.

    Attributes:
        is_evaluation: Whether it is an evaluation; otherwise it is an update.
        updates: Updates applied so far.
        environment_steps: Steps learned from so far.
        training_time_s: Seconds since the first ticket was issued.
        metrics: Finite numbers by name, such as ``rollout/return_mean``.
        episode_returns: One per episode of the update's batch; empty for an evaluation.
        episode_lengths: Likewise, in steps.
    """

    def __init__(self, entry: JournalEntry) -> None:
        self.is_evaluation = entry.is_evaluation
        self.updates = entry.updates
        self.environment_steps = entry.environment_steps
        self.training_time_s = entry.training_time_s
        self.metrics: Mapping[str, float] = MappingProxyType(entry.metrics)
        self.episode_returns = tuple(entry.batch.episode_returns) if entry.batch else ()
        self.episode_lengths = tuple(entry.batch.episode_lengths) if entry.batch else ()
        self._recorded: dict[str, float] = {}
        self._stop_reason: str | None = None
        self._wants_checkpoint = False

    def record(self, name: str, value: float) -> None:
        """Have a number stand in journal and MLflow as ``custom/NAME``.

        Args:
            name: Up to 100 letters, digits and ``_ . -``.
            value: Finite.

        Raises:
            ValueError: The name has other characters, or the value is not finite.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a metric: up to 100 letters, digits, _ . -")
        if not math.isfinite(value):
            raise ValueError(f"{name} = {value} is not finite")
        self._recorded[f"custom/{name}"] = float(value)

    def stop(self, reason: str) -> None:
        """End the run after this event, with a last evaluation; the summary has the reason."""
        self._stop_reason = reason

    def save_checkpoint(self) -> None:
        """Have a checkpoint written after this event."""
        self._wants_checkpoint = True


Callback = Callable[[TrainingEvent], None]


def checked_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return the callbacks, or say at once what is none of them.

    Raises:
        UsageError: It is no list, or something in it cannot be called.
    """
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise UsageError(f"callbacks = {callbacks!r} is no list of functions: write [function]")
    found = tuple(callbacks)
    for callback in found:
        if not callable(callback):
            raise UsageError(f"callbacks: {callback!r} cannot be called")
    return found


class Callbacks:
    """The callbacks of a run, called in their order, and what they asked for.

    Attributes:
        stop_reason: Why the run is to end, once one of them has said so.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = callbacks
        self.stop_reason: str | None = None
        self._wants_checkpoint = False

    def call(self, entry: JournalEntry) -> tuple[JournalEntry, CallbackError | None]:
        """Return the entry with what was recorded, and what a callback raised, if one did."""
        if not self._callbacks or not (entry.batch or entry.is_evaluation):
            return entry, None
        event, failure = TrainingEvent(entry), None
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001  (the user's code)
                failure = CallbackError(f"a callback raised:\n{traceback_of(error)}")
                failure.__cause__ = error
                break
        self.stop_reason = self.stop_reason or event._stop_reason
        self._wants_checkpoint |= event._wants_checkpoint
        return replace(entry, metrics={**entry.metrics, **event._recorded}), failure

    def take_checkpoint_request(self) -> bool:
        """Return whether a checkpoint was asked for since the last call."""
        wanted, self._wants_checkpoint = self._wants_checkpoint, False
        return wanted


def callback_named(name: str) -> Callback:
    """Return the callback that ``module:name`` stands for.

    A class is made one by calling it without arguments.

    Raises:
        UsageError: There is none.
    """
    if ":" not in name:
        raise UsageError(
            f"--callback {name!r} is not module:function, such as callbacks:stop_early"
        )
    try:
        found = imported(name)
        callback: Callback = found() if isinstance(found, type) else found
    except ConfigError:
        raise
    except Exception as error:
        raise UsageError(f"--callback {name!r}: {type(error).__name__}: {error}") from error
    if not callable(callback):
        raise UsageError(f"--callback {name!r} is {callback!r}, which cannot be called")
    return callback
