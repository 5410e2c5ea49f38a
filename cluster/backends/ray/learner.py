"""The learner actor, behind the names that the loop uses; it may die, the learner does not.

An update is a function of (state, batch), and the reference to the state after the last update is
held here. So a learner that is lost is started again from that state, given the same batch once
more, and arrives at the same weights.

A baseline is fitted behind the back of the workers, which play with the new weights already. So the
state before the update and its batch are held as well, until the next update or checkpoint.
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
)

from reinforce.cluster.backends.ray.actors import WrongVersionError
from reinforce.cluster.backends.ray.incidents import has_process
from reinforce.cluster.errors import (
    LearnerLostError,
    LearnerStateLostError,
    TrajectoriesLostError,
    without_colours,
)
from reinforce.cluster.interrupts import Interrupts
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, UpdateReport

_POLL_S = 0.05
_TIMEOUT_S = 600.0
"""For one call of the learner, its start included."""

_PATIENCE_S = 15.0
"""Until it is told that the learner has no place yet."""

_NEEDS_A_GPU = "with learner.device cuda it takes a GPU that nothing else has taken"

_FETCH_TIMEOUT_S = 15.0
"""For what the learner has made already, when a signal may have come that must be obeyed soon."""

_FIT_PATIENCE_S = 5.0
"""For a fit that goes on when a signal comes; without it there is no checkpoint of that update."""

_MAX_RESTARTS = 3
"""In a row, without an update between them."""

_LOST_OBJECTS = (ObjectLostError, ObjectFetchTimedOutError, GetTimeoutError)


class _ActorGoneError(LearnerLostError):
    """The actor died or does not answer; it can be started again."""


@dataclass(frozen=True)
class _Origin:
    """What a state is made from, should it be lost before it is complete: another, and a batch.

    The first state of a learner is made from what it is started with, and of no batch.
    """

    state: Any
    trajectories: Sequence[Any]


class RayLearner:
    """The learner in a process of its own, on whatever node there is room for it."""

    def __init__(
        self,
        make_actor: Callable[[LearnerState | None], Any],
        state: LearnerState | None,
        interrupts: Interrupts,
    ) -> None:
        self._make_actor = make_actor
        self._interrupts = interrupts
        self._actor = make_actor(state)
        self._state: Any = self._actor.state.remote()
        self._origin: _Origin | None = _Origin(ray.put(state), ())
        self._version = state.version if state else 0
        self._restarts_in_a_row = 0
        self.while_waiting: Callable[[], None] = lambda: None
        """Called again and again while the learner works, so that the workers are not idle."""
        self.tell: Callable[[str], None] = lambda text: None
        """Called with a sentence when the learner has to be started again."""
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
        """Return a reference to weights that this process holds."""
        return ray.put(weights)

    def update(self, trajectories: Sequence[Any]) -> tuple[UpdateReport, "ray.ObjectRef[Weights]"]:
        """Apply one update; return what it did and a reference to the new weights.

        Raises:
            TrajectoriesLostError: They vanished with a node; the learner is as it was before.
            LearnerStateLostError: The learner and its state vanished with a node.
            LearnerLostError: The learner fails whenever it is started again.
        """
        while True:
            report, weights, state = self._actor.update.remote(list(trajectories), self._version)
            try:
                result = self._get(report, "update")
            except _ActorGoneError as error:
                self._start_again(str(error))
            else:
                self._take_note(result, state, trajectories)
                return result, weights

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
            try:
                self._wait_for_state()
                references = [self._state, *([ahead] if ahead else [])]
                state, *weights = self._result(references, "state", _FETCH_TIMEOUT_S)
            except _ActorGoneError as error:
                if self._interrupts.received or not self._origin:
                    raise LearnerStateLostError(str(error)) from error
                self._start_again(str(error))
            else:
                if state.version != self._version:
                    raise LearnerStateLostError("what the learner's state is made from is lost")
                self._origin = None
                return state, weights[0] if ahead else None

    def _take_note(self, report: UpdateReport, state: Any, trajectories: Sequence[Any]) -> None:
        """Hold what a lost learner is started again from."""
        self._origin = None
        if report.is_fit_due:
            self._origin = _Origin(self._state, trajectories)
            state = self._actor.state.remote()
        self._state, self._version, self._restarts_in_a_row = state, report.version, 0

    def _wait_for_state(self) -> None:
        """Wait for a fit to end. Workers are left alone: their failure may be why this is saved."""
        started_s = time.monotonic()
        while not ray.wait([self._state], timeout=_POLL_S)[0]:
            waited_s = time.monotonic() - started_s
            if waited_s > (_FIT_PATIENCE_S if self._interrupts.received else _TIMEOUT_S):
                raise _ActorGoneError(f"the learner has not answered 'state' for {waited_s:.0f} s")

    def _start_again(self, reason: str) -> None:
        """Start another actor; it repeats the update whose fit the lost one has not completed.

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
        if not self._has_come(self._state):
            raise LearnerStateLostError(
                f"the learner's state has not been here for {_TIMEOUT_S:.0f} s"
            )
        state, origin = self._state_to_start_from()
        self._actor = self._make_actor(state)
        self.tell(
            f"{reason.splitlines()[0].rstrip('.')}; it starts again from its last complete state, "
            "and the result is the same"
        )
        if origin:
            # Whoever asks for the state or the next update waits for it, and looks at the version.
            if origin.trajectories:
                self._actor.update.remote(list(origin.trajectories), self._version - 1)
            self._state = self._actor.state.remote()

    def _state_to_start_from(self) -> tuple[LearnerState | None, _Origin | None]:
        """Return the newest state that is complete, and what to repeat if that is not the last."""
        origin = None
        try:
            try:
                state = ray.get(self._state, timeout=_TIMEOUT_S)
            except RayActorError:  # the learner was lost before it had made it
                origin = self._origin
                if origin is None:
                    raise
                state = ray.get(origin.state, timeout=_TIMEOUT_S)
        except RayError as error:
            raise LearnerStateLostError(
                f"the learner's state was lost with its node: {without_colours(str(error))}"
            ) from error
        return state, origin

    def _has_come(self, reference: Any) -> bool:
        """Wait for a result, and look out for signals meanwhile; False: it takes too long."""
        started_s, is_told = time.monotonic(), False
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            self._interrupts.check()
            self.while_waiting()
            waited_s = time.monotonic() - started_s
            if waited_s > _TIMEOUT_S:
                return False
            if waited_s > _PATIENCE_S and not is_told:
                is_told = True
                if not has_process(self._actor):
                    self.tell(f"still waiting for room for the learner: {_NEEDS_A_GPU}")
        return True

    def _get(self, reference: Any, call: str) -> Any:
        """Wait for a call and return its result."""
        if not self._has_come(reference):
            if not has_process(self._actor):
                raise LearnerLostError(
                    f"no node had room for the learner for {_TIMEOUT_S:.0f} s: {_NEEDS_A_GPU}"
                )
            raise _ActorGoneError(f"the learner has not answered {call!r} for {_TIMEOUT_S:.0f} s")
        return self._result(reference, call, _TIMEOUT_S)

    def _result(self, reference: Any, call: str, timeout_s: float) -> Any:
        """Return what a call that is over has returned, or raise what became of it."""
        try:
            return ray.get(reference, timeout=timeout_s)
        except RayTaskError as error:
            if isinstance(error.cause, WrongVersionError):
                raise LearnerStateLostError(
                    f"what the learner's state is made from is lost: {error.cause}"
                ) from error
            if isinstance(error.cause, _LOST_OBJECTS):
                raise TrajectoriesLostError(without_colours(str(error.cause))) from error
            text = without_colours(str(error))
            raise LearnerLostError(f"the learner failed in {call!r}: {text}") from error
        except RayActorError as error:
            text = without_colours(str(error))
            if error.actor_init_failed:
                raise LearnerLostError(f"the learner fails to start: {text}") from error
            raise _ActorGoneError(f"the learner was lost in {call!r}: {text}") from error
        except RayError as error:
            text = without_colours(str(error))
            raise LearnerStateLostError(f"the answer to {call!r} was lost: {text}") from error
