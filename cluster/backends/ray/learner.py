"""The learner actor, behind the names that the loop uses; it may die, the learner does not.

An update is a function of (state, batch). The driver holds a reference to the newest state, and
until that state is complete also the state before it and its batch. A learner that is lost starts
again from the newest state that can be had, is given the batch since then once more, if there is
one, and arrives at the same weights.

A state may take a while after its weights: a baseline is fitted to the batch while the workers play
with the new weights already (docs/decisions/0077-a-fit-behind-the-workers.md).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    ObjectFetchTimedOutError,
    ObjectLostError,
    RayActorError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.actors import WrongVersionError
from reinforce.cluster.backends.ray.answer_deadlines import (
    AnswerDeadlines,
    Pulse,
    allowed_silence_s,
)
from reinforce.cluster.backends.ray.capacity import RoomWait
from reinforce.cluster.backends.ray.incidents import fails_to_start
from reinforce.cluster.backends.ray.object_store import require_disk
from reinforce.cluster.backends.ray.other_learners import News
from reinforce.cluster.backends.ray.private import has_process
from reinforce.cluster.errors import (
    LearnerLostError,
    LearnerStateLostError,
    TrajectoriesLostError,
    without_colours,
)
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, UpdateReport

_POLL_S = 0.05
_TIMEOUT_S = 600.0
"""For one call of the learner, as long as nobody knows how long those take, and it lives."""

_CONSTRUCTOR_TIMEOUT_S = 120.0
"""For the first constructor, once it has a place; the next ones are measured by it."""

_LOOK_EVERY_S = 10.0
"""Whether a learner that does not answer has a place yet."""

_NEEDS_A_GPU = "with learner.device cuda the learner takes a GPU that nothing else has taken"

_FETCH_TIMEOUT_S = 15.0
"""For what the learner has made already, when a signal may have come that must be obeyed soon."""

_FIT_TIMEOUT_S = 3.0
"""For a fit that goes on when a signal comes; without it there is no checkpoint of that update."""

_MAX_RESTARTS = 3
"""In a row, without an update between them."""

_LOST_OBJECTS = (ObjectLostError, ObjectFetchTimedOutError, GetTimeoutError)


class _ActorGoneError(LearnerLostError):
    """The actor died or does not answer; it can be started again."""


@dataclass(frozen=True)
class _Start:
    """A state, by reference, and the batch that makes the current version of it, if it is older."""

    state: Any
    batch: Sequence[Any] = ()


class RayLearner:
    """The learner in a process of its own, on whatever node there is room for it.

    Args:
        make_actor: Starts an actor from a state; None: a new learner.
        state: To begin with.
        driver: The process that this runs in.
        room_timeout_s: How long it may wait for a place; None: as long as it takes.
    """

    def __init__(
        self,
        make_actor: Callable[[LearnerState | None], Any],
        state: LearnerState | None,
        driver: Driver,
        room_timeout_s: float | None = None,
    ) -> None:
        self._make_actor, self._driver = make_actor, driver
        self._actor = make_actor(state)
        self._starts = [_Start(self._actor.state.remote()), _Start(ray.put(state))]
        """What a lost learner can be started from, the newest first."""
        self._version = state.version if state else 0
        self._deadlines = AnswerDeadlines()
        self._is_up = False  # the actor has answered once, so its constructor is over
        self._room = RoomWait(room_timeout_s)
        self._fitting_since_s: float | None = None
        self._restarts_in_a_row = 0
        self.while_waiting: Callable[[], None] = lambda: None
        """Called again and again while the learner works, so that the workers are not idle."""
        self.restarts = 0
        """How often the learner had to be started again."""

    def weights(self) -> "ray.ObjectRef[Weights]":
        """Return a reference to the current weights.

        Raises:
            LearnerStateLostError: The learner vanished with its node.
            LearnerLostError: The learner fails whenever it is started.
        """
        while True:
            reference: ray.ObjectRef[Weights] = self._actor.weights.remote()
            try:
                self._get(reference, "weights")  # the learner is up, or says why not
            except _ActorGoneError as error:
                self._start_again(str(error))
            else:
                return reference

    def share(self, weights: Weights) -> "ray.ObjectRef[Weights]":
        return ray.put(weights)

    def update(self, trajectories: Sequence[Any]) -> tuple[UpdateReport, "ray.ObjectRef[Weights]"]:
        """Apply one update; return what it did and a reference to the new weights.

        Raises:
            TrajectoriesLostError: They vanished with a node; the learner is as it was before.
            LearnerStateLostError: The learner and its state vanished with a node.
            LearnerLostError: The learner fails whenever it is started again.
            StorageError: Ray has no disk to spill to.
        """
        while True:
            kind = "update" if self._fitting_since_s is None else "update and the fit before it"
            began_s = self._fitting_since_s or time.monotonic()
            call = self._actor.update.remote(list(trajectories), self._version)
            report, weights, state, losses = call
            try:
                result: UpdateReport = self._get(report, "update", kind)
            except _ActorGoneError as error:
                self._start_again(str(error))
                continue
            now_s = time.monotonic()
            if not self._restarts_in_a_row:  # else it was made again meanwhile
                self._deadlines.note(kind, now_s - began_s)
            self._fitting_since_s = now_s if result.is_fit_due else None
            if result.is_fit_due:
                before = _Start(self._starts[0].state, trajectories)
                self._starts = [_Start(self._actor.state.remote()), before]
            else:
                self._starts = [_Start(state)]
            self._version, self._restarts_in_a_row = result.version, 0
            self._note_others(self._result(losses, "update", _TIMEOUT_S))
            return result, weights

    def _note_others(self, news: News) -> None:
        """Tell what became of the other learners, and count those that were lost."""
        self.restarts += news.num_lost
        for sentence in news.sentences:
            self._driver.tell(sentence)

    def snapshot(
        self, ahead: "ray.ObjectRef[Weights] | None"
    ) -> tuple[LearnerState, Weights | None]:
        """Return what a checkpoint has to hold: the state after the last update, and weights.

        No signal cuts this short, but for a fit that takes long: a checkpoint depends on it.

        Raises:
            LearnerStateLostError: They cannot be had.
            LearnerLostError: The fit failed, or the learner fails whenever it is started again.
        """
        while True:
            newest, began_s = self._starts[0], time.monotonic()
            references = [newest.state, *([ahead] if ahead else [])]
            try:
                self._wait(newest.state, "state", is_saving=True)
                state, *weights = self._result(references, "state", _FETCH_TIMEOUT_S)
                self._deadlines.note("state", time.monotonic() - began_s)
            except _ActorGoneError as error:
                if self._driver.interrupts.received or len(self._starts) == 1:
                    raise LearnerStateLostError(str(error)) from error
                self._start_again(str(error))
                continue
            if state.version != self._version:
                raise LearnerStateLostError("what the learner's state is made from is lost")
            self._starts = [newest]
            return state, weights[0] if ahead else None

    def _start_again(self, reason: str) -> None:
        """Start another actor from the newest state that is complete; it repeats the batch since.

        Raises:
            LearnerStateLostError: What it would start from is gone, too.
            LearnerLostError: It was lost too often.
        """
        self.restarts += 1
        self._restarts_in_a_row += 1
        if self._restarts_in_a_row > _MAX_RESTARTS:
            raise LearnerLostError(
                f"the learner was lost {self._restarts_in_a_row} times in the same update: {reason}"
            )
        with suppress(RayError):  # it must not go on somewhere out of sight
            ray.kill(self._actor)
        start, state = self._newest_complete()
        self._actor, self._is_up = self._make_actor(state), False
        self._driver.tell(
            f"{reason.splitlines()[0].rstrip('.')}; it starts again from its last complete state, "
            "and the result is the same"
        )
        if start.batch:
            # Whoever asks for the state or the next update waits for it, and looks at the version.
            self._actor.update.remote(list(start.batch), self._version - 1)
        self._starts = [_Start(self._actor.state.remote()), start]

    def _newest_complete(self) -> tuple[_Start, LearnerState | None]:
        """Return what can be started from; a state that its actor took along cannot."""
        for start in self._starts:
            try:
                self._wait(start.state, "state")
                return start, ray.get(start.state, timeout=_TIMEOUT_S)
            except _ActorGoneError as error:
                raise LearnerStateLostError(str(error)) from error
            except RayActorError as error:
                lost: RayError = error
            except RayError as error:
                lost = error
                break
        raise LearnerStateLostError(
            f"the learner's state was lost with its node: {without_colours(str(lost))}"
        ) from lost

    def _get(self, reference: Any, call: str, kind: str = "") -> Any:
        """Wait for a call and return its result."""
        self._wait(reference, call, kind)
        return self._result(reference, call, _TIMEOUT_S)

    def _wait(self, reference: Any, call: str, kind: str = "", *, is_saving: bool = False) -> None:
        """Wait until a call is over, and look out for signals and workers meanwhile.

        Not while a checkpoint is saved: a signal or their failure may be why. ``kind`` is that of
        the answer, whose deadline holds, if it is not named as the call.

        Raises:
            InterruptedRunError: The user asked to stop.
            LearnerLostError: No node has room for the learner; as _ActorGoneError, it hangs.
        """
        if not self._is_up:
            with self._driver.waiting("starting the learner", lambda: self._room.words):
                self._wait_for_the_constructor(is_saving=is_saving)
        began_s = time.monotonic()
        pulse = Pulse(self._actor, began_s)
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            attempt = self._restarts_in_a_row + 1
            usual_s = self._deadlines.allowed_s(kind or call, attempt, _TIMEOUT_S)
            limit_s = self._look_out(usual_s, is_saving=is_saving)
            now_s = time.monotonic()
            silent_s = pulse.silent_s(now_s)
            if silent_s > allowed_silence_s(attempt):
                raise _ActorGoneError(
                    f"the learner's process has given no sign of life for {silent_s:.0f} s"
                )
            if now_s - began_s > limit_s:
                raise _ActorGoneError(
                    f"the learner has not answered {call!r} for {now_s - began_s:.0f} s"
                )

    def _wait_for_the_constructor(self, *, is_saving: bool) -> None:
        """Wait until the actor answers anything, as long as others took so far, and for its place.

        Raises:
            InterruptedRunError, LearnerLostError: As for ``_wait``.
        """
        began_s = looked_s = time.monotonic()
        attempt = self._restarts_in_a_row + 1
        most_s = float(_CONSTRUCTOR_TIMEOUT_S * 2 ** (attempt - 1))
        usual_s = self._deadlines.allowed_s("constructor", attempt, most_s)
        answer = self._actor.sign_of_life.remote()
        while not ray.wait([answer], timeout=_POLL_S)[0]:
            limit_s = self._look_out(usual_s, is_saving=is_saving)
            now_s = time.monotonic()
            if now_s - looked_s >= _LOOK_EVERY_S:
                looked_s = now_s
                if has_process(self._actor):
                    self._room.forget()
                else:
                    began_s = now_s  # at the earliest: what it does counts from there
                    if too_long := self._room.note(_NEEDS_A_GPU):
                        raise LearnerLostError(too_long)
            if now_s - began_s > limit_s:
                raise _ActorGoneError(f"the learner has not started for {now_s - began_s:.0f} s")
        self._room.forget()
        with suppress(RayError):  # it has died, which every call will say
            ray.get(answer, timeout=_TIMEOUT_S)
            self._is_up = True
            self._deadlines.note("constructor", time.monotonic() - began_s)

    def _look_out(self, usual_s: float, *, is_saving: bool) -> float:
        """Look out for signals and workers while the learner works; return how long it may."""
        if not is_saving:
            self._driver.interrupts.check()
            self.while_waiting()
            return usual_s
        return _FIT_TIMEOUT_S if self._driver.interrupts.received else usual_s

    def _result(self, reference: Any, call: str, timeout_s: float) -> Any:
        """Return what a call that is over has returned, or raise what became of it."""
        try:
            return ray.get(reference, timeout=timeout_s)
        except RayTaskError as error:
            require_disk(error)
            if isinstance(error.cause, WrongVersionError):
                raise LearnerStateLostError(
                    f"what the learner's state is made from is lost: {error.cause}"
                ) from error
            if isinstance(error.cause, _LOST_OBJECTS):
                raise TrajectoriesLostError(without_colours(str(error.cause))) from error
            text = without_colours(str(error))
            raise LearnerLostError(f"the learner failed in {call!r}: {text}") from error
        except (RayActorError, RuntimeEnvSetupError) as error:
            text = without_colours(str(error))
            if fails_to_start(error):
                raise LearnerLostError(f"the learner fails to start: {text}") from error
            raise _ActorGoneError(f"the learner was lost in {call!r}: {text}") from error
        except RayError as error:
            text = without_colours(str(error))
            raise LearnerStateLostError(f"the answer to {call!r} was lost: {text}") from error
