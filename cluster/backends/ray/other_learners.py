"""The other learners: with ``learner.num_learners`` they share each gradient with the learner.

They keep nothing between two calls, since the gradient of a group of episodes depends only on the
weights and the episodes that the learner sends. What one of them fails to return the learner
computes itself, to the same bits, while another is started. Nobody waits for one that has not
started yet (docs/decisions/0125-several-learners.md).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from reinforce.cluster.backends.ray.incidents import cause_of
from reinforce.cluster.backends.ray.versions import differences, versions_here
from reinforce.cluster.processor import processor
from reinforce.configs.learning import Device

if TYPE_CHECKING:
    from reinforce.learner.gradient import GradientTask, GroupGradient, PolicyPasses

_TIMES_OWN = 5.0
_SHORTEST_S = 15.0
"""All answers together may take a multiple of what the learner needs for its own share, and at
least this; half of what the driver grants the learner."""

_START_PATIENCE_S = 120.0
"""After this time it is said that a learner has not started; it may still come."""

_MAX_FAILURES = 3
"""In a row, after which a learner is not replaced any more."""


@dataclass(frozen=True)
class News:
    """What became of the other learners during an update.

    Attributes:
        sentences: For the user.
        num_lost: Those that died, hung or failed.
    """

    sentences: tuple[str, ...] = ()
    num_lost: int = 0


def kind_of_here(device: Device) -> dict[str, str]:
    """Return what decides the bits of a gradient in this process, besides the task."""
    kind = {**versions_here(), "torch": version("torch"), "processor": processor()}
    if device == "cuda":
        from reinforce.learner.device import kind_of_gpu  # late: it imports Torch

        kind |= kind_of_gpu()
    return kind


class OtherLearners:
    """All learners but the first, as a ``Share``.

    Args:
        make_actor: Starts an actor.
        number: How many there should be, >= 1.
        kind: What decides the bits of the first one: the others must be of the same.
    """

    def __init__(self, make_actor: Callable[[], Any], number: int, kind: dict[str, str]) -> None:
        self._sentences: list[str] = []
        self._is_complete = False
        self._places = [
            _Place(make_actor, f"learner {index + 2} of {number + 1}", kind, self._sentences.append)
            for index in range(number)
        ]

    def __call__(self, task: "GradientTask", passes: "PolicyPasses") -> "list[GroupGradient]":
        """Return the contribution of each group, in order."""
        present = [place for place in self._places if place.is_ready()]
        self._note_completeness(len(present))
        own, *others = task.shares(1 + len(present))
        places = present[: len(others)]
        _begin(places, others, passes)
        began_s = time.monotonic()
        found = passes.gradients(own)
        now_s = time.monotonic()
        deadline_s = now_s + max(_SHORTEST_S, _TIMES_OWN * (now_s - began_s))
        for place, share in zip(places, others, strict=True):
            groups = place.result(deadline_s)
            found += passes.gradients(share) if groups is None else passes.received(groups)
        return found

    def news(self) -> News:
        """Return what became of them since the last call."""
        news = News(tuple(self._sentences), sum(place.take_losses() for place in self._places))
        self._sentences.clear()
        return news

    def _note_completeness(self, num_present: int) -> None:
        if num_present == len(self._places) and not self._is_complete:
            self._sentences.append(f"{num_present + 1} learners share each gradient from now on")
        self._is_complete = num_present == len(self._places)


def _begin(places: "list[_Place]", shares: "list[GradientTask]", passes: "PolicyPasses") -> None:
    """Let them work; a store without room for the weights is found when they are asked for."""
    if not places:
        return
    weights = passes.flat_weights()
    with suppress(RayError):
        weights = ray.put(weights)
    for place, share in zip(places, shares, strict=True):
        place.begin(share, weights)


class _Place:
    """One of the other learners, and those that replace it."""

    def __init__(
        self,
        make_actor: Callable[[], Any],
        name: str,
        kind: dict[str, str],
        tell: Callable[[str], None],
    ) -> None:
        self._make_actor, self._name, self._kind, self._tell = make_actor, name, kind, tell
        self._num_failures = self._num_losses = 0
        self._actor: Any = None
        self._call: Any = None
        self._is_ready = False
        self._overdue_s = 0.0
        self._start()

    def is_ready(self) -> bool:
        """Whether it can take a share now."""
        if self._actor is None or self._is_ready:
            return self._is_ready
        if ray.wait([self._call], timeout=0)[0]:
            self._is_ready = self._computes_as_we_do()
        elif time.monotonic() > self._overdue_s:
            self._overdue_s = float("inf")
            self._tell(
                f"{self._name} has not started for {_START_PATIENCE_S:.0f} s: no node has room, or "
                "a GPU, for it, or is slow to start it; the result is the same without it"
            )
        return self._is_ready

    def begin(self, share: "GradientTask", weights: Any) -> None:
        """Let it work."""
        try:
            self._call = self._actor.gradients.remote(share, weights)
        except RayError as error:  # no room for the share in the object store
            self._replace(cause_of(error))

    def result(self, deadline_s: float) -> Any:
        """Return its answer; None if there is none, and it is replaced."""
        if not self._is_ready:  # it was lost before it began
            return None
        groups = self._answer(max(0.0, deadline_s - time.monotonic()))
        if groups is not None:
            self._num_failures = 0
        return groups

    def take_losses(self) -> int:
        """Return how many were lost since the last call."""
        number, self._num_losses = self._num_losses, 0
        return number

    def _answer(self, timeout_s: float) -> Any:
        try:
            return ray.get(self._call, timeout=timeout_s)
        except GetTimeoutError:
            self._replace("it has not answered in time")
        except RayError as error:
            self._replace(cause_of(error))
        return None

    def _computes_as_we_do(self) -> bool:
        """Whether it has started, and rounds as this process does; if not, it is let go."""
        theirs = self._answer(_SHORTEST_S)
        if theirs is None:
            return False
        different = differences(theirs, self._kind)
        if not different:
            return True
        self._let_go()
        self._tell(
            f"{self._name} is not used, for its node has {different}, and would give "
            "other bits; the result is the same without it"
        )
        return False

    def _start(self) -> None:
        self._actor = self._make_actor()
        self._call = self._actor.kind.remote()
        self._overdue_s = time.monotonic() + _START_PATIENCE_S

    def _let_go(self) -> None:
        with suppress(RayError):  # it must not go on somewhere out of sight
            ray.kill(self._actor)
        self._actor, self._is_ready = None, False

    def _replace(self, reason: str) -> None:
        self._let_go()
        self._num_failures += 1
        self._num_losses += 1
        what = "another is being started"
        if self._num_failures >= _MAX_FAILURES:
            what = (
                f"after {_MAX_FAILURES} failures no other is started (learner.num_learners 1 "
                "does without)"
            )
        else:
            self._start()
        self._tell(f"{self._name} was lost ({reason}); {what}, and the result is the same")
