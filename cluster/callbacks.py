"""Callbacks: the user's functions, called after each update and evaluation, may end the run.

They are called in the process that drives the run, with the content of the journal. They cannot
change what is learned, only when it ends.
"""

import inspect
import math
import re
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from reinforce.cluster.errors import CallbackError, UsageError, traceback_of
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.configs.errors import ConfigError, suggestion
from reinforce.configs.given_objects import imported
from reinforce.configs.quoting import shown
from reinforce.configs.synonyms import Explained

_MEANS = ("rollout/return_mean", "evaluation/return_mean", "evaluation/confirmed_return_mean")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_IMPORTED = re.compile(r"([^:()]+:[^:()]+)(?:\((.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class CheckpointRequest:
    """A checkpoint requested by a callback.

    Attributes:
        for_good: Whether to keep it when later ones are written.
    """

    for_good: bool


class _Metrics(dict[str, float]):
    """Metrics of an event, which name those that may be meant by one that is missing."""

    def __missing__(self, name: str) -> float:
        raise KeyError(
            f"{name!r} is no metric of this event; {suggestion(name, self)} event.return_mean is "
            "the mean return of every event"
        )


class TrainingEvent(Explained):
    """An update or evaluation, as a callback sees it.

    Its methods work only during the callback; later they raise RuntimeError.

    Attributes:
        is_evaluation: Whether it is an evaluation; otherwise it is an update.
        is_best: Whether it is a regular evaluation and the best so far.
        updates: Updates applied so far.
        environment_steps: Training steps so far.
        training_time_s: Seconds since the first ticket was issued.
        return_mean: Mean return of the update's batch, or of the evaluation.
        metrics: Finite numbers by name, such as ``rollout/return_mean``. An evaluation on other
            seeds, as the last one is, has names that begin with ``evaluation/confirmed_``.
        episode_returns: One per episode of the update's batch; empty for an evaluation.
        episode_lengths: Likewise, in steps.
    """

    _instead: ClassVar = {
        "num_timesteps": "event.environment_steps counts them",
        "n_calls": "event.updates counts the updates",
        "logger": "event.record(name, value) records a number",
        "locals": "event.metrics has the numbers of the update or evaluation",
        "model": "event.save_checkpoint() keeps its weights, and reinforce.load(RUN_DIR) opens "
        "the run while it trains",
    }

    def __init__(self, entry: JournalEntry, *, is_best: bool = False) -> None:
        self.is_evaluation, self.is_best = entry.is_evaluation, is_best
        self.updates = entry.updates
        self.environment_steps = entry.environment_steps
        self.training_time_s = entry.training_time_s
        self.metrics: Mapping[str, float] = MappingProxyType(_Metrics(entry.metrics))
        self.return_mean = next(self.metrics[name] for name in _MEANS if name in self.metrics)
        self.episode_returns = tuple(entry.batch.episode_returns) if entry.batch else ()
        self.episode_lengths = tuple(entry.batch.episode_lengths) if entry.batch else ()
        self._recorded: dict[str, float] = {}
        self._stop_reason: str | None = None
        self._checkpoint_request: CheckpointRequest | None = None
        self._is_over = False

    def record(self, name: str, value: float) -> None:
        """Record a number in the journal and MLflow as ``custom/NAME``.

        Args:
            name: Up to 100 letters, digits and ``_ . -``.
            value: Finite.

        Raises:
            ValueError: The name has other characters, or the value is not a finite number.
        """
        self._require_not_over()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a metric: use up to 100 letters, digits, _ . -")
        try:
            is_finite = math.isfinite(value)
        except TypeError:
            raise ValueError(f"{name} = {shown(value)}: give a number") from None
        if not is_finite:
            raise ValueError(f"{name} = {value} is not finite")
        self._recorded[f"custom/{name}"] = float(value)

    def stop(self, reason: str) -> None:
        """End the run after this event with a final evaluation; the summary has the reason.

        Raises:
            ValueError: The reason is empty or not a text.
        """
        self._require_not_over()
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"event.stop({reason!r}): give the reason as a text")
        self._stop_reason = reason

    def save_checkpoint(self, *, for_good: bool = False) -> None:
        """Write a checkpoint after this event.

        Args:
            for_good: Keep it; otherwise it is removed after ``checkpoint.keep`` newer ones.
        """
        self._require_not_over()
        is_asked = self._checkpoint_request is not None and self._checkpoint_request.for_good
        self._checkpoint_request = CheckpointRequest(for_good or is_asked)

    def _require_not_over(self) -> None:
        if self._is_over:
            raise RuntimeError(
                f"the event of update {self.updates} is over and cannot be used after the callback "
                "has returned; use the event that the callback is called with"
            )


Callback = Callable[[TrainingEvent], None]


def checked_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Check that each callback can be called with an event, and return them.

    Raises:
        UsageError: One cannot.
    """
    found = tuple(callbacks)
    for callback in found:
        if isinstance(callback, type):
            raise UsageError(
                f"callbacks: {callback.__name__} is a class, but a callback is called with an "
                f"event: write {callback.__name__}(...)"
            )
        _require_takes_an_event("callbacks:", callback)
    return found


def _require_takes_an_event(where: str, callback: Callback) -> None:
    if not callable(callback):
        hint = "; in place of _on_step, and of its return False, event.stop(reason)"
        raise UsageError(
            f"{where} {callback!r} cannot be called: a callback is a function of one event"
            f"{hint if hasattr(callback, '_on_step') else ''}"
        )
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # some that are written in C have none
        return
    try:
        signature.bind(object())
    except TypeError:
        # Names only: the values of a partial may be secrets.
        name = getattr(callback, "__qualname__", type(callback).__name__)
        raise UsageError(
            f"{where} {name}({', '.join(signature.parameters)}): a callback is a function of one "
            "event"
        ) from None


class Callbacks:
    """The callbacks of a run, called in order, and their requests.

    Attributes:
        stop_reason: Why the run should end, once one of them has requested it.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = callbacks
        self.stop_reason: str | None = None
        self._checkpoint_request: CheckpointRequest | None = None

    def call(
        self, entry: JournalEntry, *, is_best: bool = False
    ) -> tuple[JournalEntry, CallbackError | None]:
        """Return the entry with recorded numbers, and a callback's error, if any."""
        if not self._callbacks or not (entry.batch or entry.is_evaluation):
            return entry, None
        event, failure = TrainingEvent(entry, is_best=is_best), None
        for callback in self._callbacks:
            try:
                result = callback(event)
            except Exception as error:  # noqa: BLE001  (the user's code)
                failure = CallbackError(f"a callback raised:\n{traceback_of(error)}")
                failure.__cause__ = error
                break
            if result is not None:  # in other libraries False ends the run
                failure = CallbackError(
                    f"{callback!r} returned {shown(result)}, but a callback's result has no "
                    "meaning: end the run with event.stop(reason), and return nothing"
                )
                break
        event._is_over = True
        self.stop_reason = self.stop_reason or event._stop_reason
        self._checkpoint_request = event._checkpoint_request
        return replace(entry, metrics={**entry.metrics, **event._recorded}), failure

    def take_checkpoint_request(self) -> CheckpointRequest | None:
        """Return the checkpoint requested since the last call, if any."""
        request, self._checkpoint_request = self._checkpoint_request, None
        return request


def callback_named(name: str) -> Callback:
    """Return the callback named ``module:name`` or ``module:Class(arguments)``.

    A class is called with the arguments, which are Python literals.

    Raises:
        UsageError: There is none.
    """
    match = _IMPORTED.fullmatch(name)
    if not match:
        raise UsageError(
            f"--callback {name!r} is not module:function, such as callbacks:watch, or "
            "module:Class(arguments), such as 'reinforce.callbacks:MaxUpdateTime(60)'"
        )
    try:
        found = imported(match[1])
        arguments = literal_eval(f"({match[2]},)") if match[2] else ()
        is_made = isinstance(found, type) or match[2] is not None
        callback: Callback = found(*arguments) if is_made else found
    except ConfigError:
        raise
    except Exception as error:
        raise UsageError(f"--callback {name!r}: {type(error).__name__}: {error}") from error
    _require_takes_an_event(f"--callback {name!r}:", callback)
    return callback
