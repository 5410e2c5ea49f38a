"""What was lost on the way and is made again, in words that need no knowledge of Ray."""

from collections import Counter
from enum import Enum

from workers.ticket import Ticket

_PAUSE_S = 5.0
"""Between two sentences: a cluster that loses many workers must not flood the screen."""

_MAX_CAUSES = 3

_OF_A_WORKER = "and the result is the same"

_OF_AN_EPISODE = (
    "in environments made anew: if that helps, episodes depend on more than their seed, and so may "
    "the result"
)


class Loss(Enum):
    """What went wrong: in words for one, and for several."""

    WORKER = ("a worker was lost", "{} workers were lost")
    CONTACT = ("a worker cannot be reached", "{} workers could not be reached")
    EPISODE = ("an environment failed", "environments failed {} times")


class Losses:
    """Collects losses and tells them in one sentence, the first at once, later ones together."""

    def __init__(self) -> None:
        self._causes: dict[Loss, Counter[str]] = {}
        self._tickets: dict[Ticket, None] = {}
        self._told_at_s = float("-inf")

    def add(self, loss: Loss, cause: str, ticket: Ticket | None) -> None:
        """Take note of a loss, and of the ticket that is played again because of it."""
        self._causes.setdefault(loss, Counter())[cause] += 1
        if ticket:
            self._tickets[ticket] = None

    def sentence(self, now_s: float, *, at_once: bool = False) -> str | None:
        """Return what has been lost since the last sentence, if it is time to tell it."""
        if not self._causes or (now_s - self._told_at_s < _PAUSE_S and not at_once):
            return None
        losses = ", ".join(_in_words(loss, causes) for loss, causes in self._causes.items())
        names, has_failed = [str(ticket) for ticket in self._tickets], Loss.EPISODE in self._causes
        self._causes, self._tickets, self._told_at_s = {}, {}, now_s
        if not names:
            return f"{losses}; the run goes on, and its result is the same"
        again = f"ticket {names[0]} is" if len(names) == 1 else f"{len(names)} tickets are"
        return f"{losses}; {again} played again, {_OF_AN_EPISODE if has_failed else _OF_A_WORKER}"


def _in_words(loss: Loss, causes: Counter[str]) -> str:
    one, many = loss.value
    if causes.total() == 1:
        return f"{one} ({next(iter(causes))})"
    told = [cause if n == 1 else f"{n} x {cause}" for cause, n in causes.most_common(_MAX_CAUSES)]
    others = ["..."] * (len(causes) > _MAX_CAUSES)
    if len(causes) == 1:
        told = list(causes)
    return f"{many.format(causes.total())} ({'; '.join([*told, *others])})"
