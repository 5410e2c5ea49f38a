"""Tells a learner that hangs from one that is slow by how long its answers took so far."""

_TIMES_SLOWEST = 10.0
_SHORTEST_S = 30.0


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
