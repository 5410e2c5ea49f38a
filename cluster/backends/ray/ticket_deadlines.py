"""How long a ticket may take before its worker is replaced."""

from reinforce.workers.tickets import Purpose

_SHORTEST_S = 60.0
_TIMES_USUAL = 10.0
_KEPT = 0.8
"""Share of the running mean of a ticket's duration that survives one more ticket."""


class TicketDeadlines:
    """Tells a hung environment from a slow one by how long tickets took so far.

    A ticket that was wrongly given up gets twice the time with each attempt, so that episodes that
    have suddenly become long cannot end a run before ``workers.ticket_timeout_s`` does.
    """

    def __init__(self, ticket_timeout_s: float) -> None:
        self._cap_s = ticket_timeout_s
        self._usual_s: dict[Purpose, float] = {}

    def note(self, purpose: Purpose, duration_s: float) -> None:
        """Take note of how long a ticket took."""
        usual_s = self._usual_s.get(purpose, duration_s)
        self._usual_s[purpose] = _KEPT * usual_s + (1 - _KEPT) * duration_s

    def allowed_s(self, purpose: Purpose, attempt: int) -> float:
        """Return the seconds that a ticket may take in its 1st, 2nd, ... attempt."""
        if purpose not in self._usual_s:
            return self._cap_s
        limit_s = max(_SHORTEST_S, _TIMES_USUAL * self._usual_s[purpose])
        return min(self._cap_s, float(limit_s * 2 ** (attempt - 1)))
