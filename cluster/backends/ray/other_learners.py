"""The other learners: with ``learner.num_learners`` they share each gradient with the learner.

They keep nothing between two calls, since the gradient of a group of episodes depends only on the
weights and the episodes that the learner sends. What one of them fails to return the learner
computes itself, to the same bits, while another is started. Nobody waits for one that has not
started yet (docs/decisions/0125-several-learners.md).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from reinforce.cluster.errors import without_colours
from reinforce.learner.gradient import GradientTask, GroupGradient, PolicyPasses

_TIMES_OWN = 5.0
_SHORTEST_S = 15.0
"""An answer may take a multiple of what the learner needs for its own share, and at least this;
half of what the driver grants the learner."""

_START_PATIENCE_S = 120.0
"""After this time it is said that a learner has not started; it may still come."""

_MAX_FAILURES = 3
"""In a row, after which a learner is not replaced any more."""


class OtherLearners:
    """All learners but the first, as a ``Share``.

    Args:
        make_actor: Starts an actor.
        number: How many there should be, >= 1.
    """

    def __init__(self, make_actor: Callable[[], Any], number: int) -> None:
        self._told: list[str] = []
        self._is_complete = False
        self._places = [
            _Place(make_actor, f"learner {index + 2} of {number + 1}", self._told.append)
            for index in range(number)
        ]

    def __call__(self, task: GradientTask, passes: PolicyPasses) -> list[GroupGradient]:
        """Return the contribution of each group, in order."""
        present = [place for place in self._places if place.is_ready()]
        self._note_completeness(len(present))
        own, *others = task.shares(1 + len(present))
        weights = ray.put(passes.flat_weights()) if others else None
        places = present[: len(others)]
        for place, share in zip(places, others, strict=True):
            place.begin(share, weights)
        began_s = time.monotonic()
        found = passes.gradients(own)
        patience_s = max(_SHORTEST_S, _TIMES_OWN * (time.monotonic() - began_s))
        for place, share in zip(places, others, strict=True):
            groups = place.result(patience_s)
            found += passes.gradients(share) if groups is None else passes.received(groups)
        return found

    def news(self) -> tuple[str, ...]:
        """Return sentences about them since the last call."""
        told = tuple(self._told)
        self._told.clear()
        return told

    def _note_completeness(self, num_present: int) -> None:
        if num_present == len(self._places) and not self._is_complete:
            self._told.append(f"{num_present + 1} learners share each gradient from now on")
        self._is_complete = num_present == len(self._places)


class _Place:
    """One of the other learners, and those that replace it."""

    def __init__(
        self, make_actor: Callable[[], Any], name: str, tell: Callable[[str], None]
    ) -> None:
        self._make_actor, self._name, self._tell = make_actor, name, tell
        self._num_failures = 0
        self._actor: Any = None
        self._has_answered = False
        self._overdue_s = 0.0
        self._start()

    def is_ready(self) -> bool:
        """Whether it can take a share now."""
        if self._actor is None or self._has_answered:
            return self._has_answered
        if ray.wait([self._answer], timeout=0)[0]:
            self._has_answered = self.result(_SHORTEST_S) is not None
        elif time.monotonic() > self._overdue_s:
            self._overdue_s = float("inf")
            self._tell(
                f"{self._name} has not started for {_START_PATIENCE_S:.0f} s; the result is the "
                "same without it"
            )
        return self._has_answered

    def begin(self, share: GradientTask, weights: Any) -> None:
        """Let it work."""
        self._answer = self._actor.gradients.remote(share, weights)

    def result(self, patience_s: float) -> list[GroupGradient] | None:
        """Return its answer; None if there is none, and it is replaced."""
        try:
            groups: list[GroupGradient] = ray.get(self._answer, timeout=patience_s)
        except RayError as error:
            self._replace(without_colours(str(error)).strip().splitlines()[0])
            return None
        if groups:  # not when it has merely started
            self._num_failures = 0
        return groups

    def _start(self) -> None:
        self._actor = self._make_actor()
        self._answer = self._actor.gradients.remote(None, None)
        self._overdue_s = time.monotonic() + _START_PATIENCE_S

    def _replace(self, reason: str) -> None:
        with suppress(RayError):  # it must not go on somewhere out of sight
            ray.kill(self._actor)
        self._num_failures += 1
        self._actor, self._has_answered = None, False
        is_given_up = self._num_failures >= _MAX_FAILURES
        what = f"not replaced after {_MAX_FAILURES} failures" if is_given_up else "replaced"
        self._tell(f"{self._name} was lost: {reason.rstrip('.')}; it is {what}, same result")
        if not is_given_up:
            self._start()
