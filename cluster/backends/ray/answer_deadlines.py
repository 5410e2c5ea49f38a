"""Tells a learner that hangs from one that is slow, by its answers so far and by signs of life."""

from typing import Any

import ray

_TIMES_SLOWEST = 10.0
_SHORTEST_S = 30.0

_PULSE_PAUSE_S = 5.0
"""Between two questions for a sign of life; most calls are over before the first."""


class AnswerDeadlines:
    """A multiple of the slowest answer of the same kind, and twice that with each attempt.

    So an update that has suddenly become long cannot end a run, and its result is the same.
    """

    def __init__(self) -> None:
        self._slowest_s: dict[str, float] = {}

    def note(self, kind: str, duration_s: float) -> None:
        """Take note of how long an answer took."""
        self._slowest_s[kind] = max(duration_s, self._slowest_s.get(kind, 0.0))

    def allowed_s(self, kind: str, attempt: int, cap_s: float) -> float:
        """Return the seconds that an answer may take in its 1st, 2nd, ... attempt."""
        if kind not in self._slowest_s:
            return cap_s
        limit_s = max(_SHORTEST_S, _TIMES_SLOWEST * self._slowest_s[kind])
        return float(min(cap_s, limit_s * 2 ** (attempt - 1)))


class Pulse:
    """Asks a process for signs of life beside its work: one that is halted gives none.

    A process of which only that is known, that it lives, may need all the time there is.
    """

    def __init__(self, actor: Any, began_s: float) -> None:
        self._actor, self._call, self._asked_s = actor, None, began_s

    def silent_s(self, now_s: float) -> float:
        """Ask, if it is time, and return for how long there has been no answer."""
        if self._call is None:
            if now_s - self._asked_s >= _PULSE_PAUSE_S:
                self._call, self._asked_s = self._actor.sign_of_life.remote(), now_s
            return 0.0
        if ray.wait([self._call], timeout=0)[0]:
            self._call = None
            return 0.0
        return now_s - self._asked_s


def allowed_silence_s(attempt: int) -> float:
    """Return for how long a process may give no sign of life: it needs next to no time for one."""
    return float(_SHORTEST_S * 2 ** (attempt - 1))
