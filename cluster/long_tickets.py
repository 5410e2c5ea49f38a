"""Long tickets: reported after half a minute, and again each time that doubles.

If tickets usually take longer, one is reported only if it exceeds the usual time.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.waiting import WaitReports
from reinforce.configs.plurals import counted
from reinforce.workers.episode_limits import MAX_STEPS_WITHOUT_LIMIT
from reinforce.workers.tickets import Purpose, Ticket

_FIRST_S = 30.0
_KEPT = 0.8
"""Share of the usual duration that remains after one more ticket."""


@dataclass(frozen=True)
class LongTicket:
    """A ticket that has been played for long and has not ended.

    Attributes:
        ticket: Which.
        seconds: Duration of the longest episode, or else of the ticket.
        num_steps: Steps of that episode; None if it is played in another process.
    """

    ticket: Ticket
    seconds: float
    num_steps: int | None = None

    def __str__(self) -> str:
        if self.num_steps is None:
            what = f"has been played for {self.seconds:.0f} s and has not returned"
        else:
            what = (
                f"has played {counted(self.num_steps, 'step')} in one episode, for "
                f"{self.seconds:.0f} s, "
                "and has not ended"
            )
        cut = (
            ""
            if self.ticket.purpose is Purpose.TRAINING
            else "; it is cut after evaluation.max_episode_steps, without which after "
            f"{MAX_STEPS_WITHOUT_LIMIT:,} steps or fewer"
        )
        return (
            f"ticket {self.ticket} {what}{cut}; if its episodes may be endless, set "
            "environment.max_episode_steps"
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers, by their names in the journal."""
        steps = {} if self.num_steps is None else {"tickets/longest_episode_steps": self.num_steps}
        return {"tickets/longest_s": self.seconds, **steps}


class Patience:
    """Decides when a long ticket is reported."""

    def __init__(self) -> None:
        self._ticket: Ticket | None = None
        self._usual_s = self._seconds = 0.0

    def note(
        self, ticket: Ticket, seconds: float, num_steps: int | None = None
    ) -> LongTicket | None:
        """Return the report on a ticket in play, if one is due."""
        if ticket != self._ticket:
            usual_s = self._usual_s or self._seconds
            self._usual_s = _KEPT * usual_s + (1 - _KEPT) * self._seconds
            self._ticket, self._reports = ticket, WaitReports(max(_FIRST_S, self._usual_s))
        self._seconds = seconds
        if not self._reports.is_due(seconds):
            return None
        return LongTicket(ticket, seconds, num_steps)


class HungStepWatch:
    """Reports a step that does not return, from another thread than the one that waits."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._sign: tuple[Ticket | None, float] = None, 0.0

    def note(self, ticket: Ticket) -> None:
        """Note that a ticket has begun, or that one of its steps has returned."""
        self._sign = ticket, time.monotonic()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context in which tickets are played."""
        is_over = threading.Event()
        arguments = (is_over, threading.get_ident())
        threading.Thread(target=self._watch, args=arguments, name="hung", daemon=True).start()
        try:
            yield
        finally:
            is_over.set()

    def _watch(self, is_over: threading.Event, player: int) -> None:
        known, reports = self._sign, WaitReports(_FIRST_S)
        while not is_over.wait(min(_FIRST_S, 1.0)):
            if self._sign != known:
                known, reports = self._sign, WaitReports(_FIRST_S)
            ticket, since_s = known
            seconds = time.monotonic() - since_s
            if ticket and reports.is_due(seconds) and (place := _place_of(player)):
                self._tell(
                    f"ticket {ticket} has waited for its environment for {seconds:.0f} s, at "
                    f"{place}"
                )


def _place_of(thread: int) -> str:
    """Return the line of Python that a thread executes; "" in a debugger, or if it has ended."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    code, line = frame.f_code, frame.f_lineno
    while frame := frame.f_back:
        if frame.f_globals.get("__name__") == "bdb":
            return ""
    return f"{code.co_filename}, line {line}, in {code.co_name}"


class LongTicketNotice:
    """Prints reports on tickets outside of a run."""

    def __init__(self, console: PlainConsole) -> None:
        self._console, self._patience = console, Patience()

    def __call__(self, ticket: Ticket, num_steps: int, seconds: float) -> None:
        """Note the current length of an episode of a ticket."""
        if long := self._patience.note(ticket, seconds, num_steps):
            self._console.warn(str(long))
