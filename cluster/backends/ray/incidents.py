"""What was lost on the way and is made again, in words that need no knowledge of Ray."""

from collections import Counter
from enum import Enum

import ray
from ray.exceptions import (
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from reinforce.cluster.errors import without_colours
from reinforce.cluster.tracebacks import last_own_call, without_our_path
from reinforce.workers.tickets import Ticket

_PAUSE_S = 5.0
"""Between two sentences: a cluster that loses many workers must not flood the screen."""

_MAX_CAUSES = 3
_MAX_CAUSE_LENGTH = 200

_OF_A_WORKER = "and the result is the same"

_OF_AN_EPISODE = (
    "in new environments; if the second attempt succeeds, the environment is not determined by "
    "its seed, and results may differ between runs"
)


class Incident(Enum):
    """What went wrong: in words for one, and for several."""

    WORKER = ("a worker was lost", "{} workers were lost")
    CONTACT = ("a worker cannot be reached", "{} workers could not be reached")
    EPISODE = ("an environment failed", "environments failed {} times")


class Incidents:
    """Collects incidents and tells them in one sentence, the first at once, later ones together.

    Attributes:
        last_cause: That of the newest incident; "" if there was none.
    """

    def __init__(self) -> None:
        self._causes: dict[Incident, Counter[str]] = {}
        self._tickets: dict[Ticket, None] = {}
        self._told_at_s = float("-inf")
        self.last_cause = ""

    def add(self, incident: Incident, cause: str, ticket: Ticket | None) -> None:
        """Take note of an incident, and of the ticket that is played again because of it."""
        self._causes.setdefault(incident, Counter())[cause] += 1
        self.last_cause = cause
        if ticket:
            self._tickets[ticket] = None

    def sentence(self, now_s: float, *, at_once: bool = False) -> str | None:
        """Return what has been lost since the last sentence, if it is time to tell it."""
        if not self._causes or (now_s - self._told_at_s < _PAUSE_S and not at_once):
            return None
        described = ", ".join(map(_in_words, self._causes, self._causes.values()))
        names = [str(ticket) for ticket in self._tickets]
        has_failed = Incident.EPISODE in self._causes
        self._causes, self._tickets, self._told_at_s = {}, {}, now_s
        if not names:
            return f"{described}; the run continues, and its result is the same"
        again = f"ticket {names[0]} is" if len(names) == 1 else f"{len(names)} tickets are"
        return (
            f"{described}; {again} played again, {_OF_AN_EPISODE if has_failed else _OF_A_WORKER}"
        )


def _in_words(incident: Incident, causes: Counter[str]) -> str:
    one, many = incident.value
    if causes.total() == 1:
        return f"{one} ({next(iter(causes))})"
    told = [cause if n == 1 else f"{n} x {cause}" for cause, n in causes.most_common(_MAX_CAUSES)]
    others = ["..."] * (len(causes) > _MAX_CAUSES)
    if len(causes) == 1:
        told = list(causes)
    return f"{many.format(causes.total())} ({'; '.join([*told, *others])})"


def cause_of(error: RayError, *, has_node: bool = True) -> str:
    """Return in a few words why a call to a worker came to nothing."""
    if isinstance(error, RayTaskError):
        cause = f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
        where = last_own_call(without_colours(str(error)))
        return f"{cause[:_MAX_CAUSE_LENGTH]}{f' ({where})' * bool(where)}"
    if not has_node:
        return "the node is gone"
    if isinstance(error, OutOfMemoryError):
        return "Ray ended it because its node ran out of memory"
    if fails_to_start(error):
        last_line = without_colours(str(error)).strip().splitlines()[-1]
        return f"it did not start: {without_our_path(last_line)}"[:_MAX_CAUSE_LENGTH]
    return "the process was killed, or crashed, or memory ran out"


def fails_to_start(error: RayError) -> bool:
    """Return whether an actor's constructor raised, or had no environment to run in."""
    if isinstance(error, RayActorError):
        return bool(error.actor_init_failed)
    return isinstance(error, RuntimeEnvSetupError)


def node_is_alive(node: str | None) -> bool:
    """Return whether a node is there still; one that no worker has named is taken to be."""
    return node is None or any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node)
