"""Tickets that last: told after half a minute, and again each time that it has doubled.

Where tickets usually take longer, one is reported only if it outlasts all before it.
"""

from dataclasses import dataclass

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.waiting import WaitReports
from reinforce.workers.tickets import Ticket

_FIRST_S = 30.0


@dataclass(frozen=True)
class LongTicket:
    """A ticket that has been played for long and is not over.

    Attributes:
        ticket: Which.
        seconds: Of the episode that lasts longest, or else of the ticket.
        num_steps: Steps of that episode; None if it is played elsewhere, and nobody here knows.
    """

    ticket: Ticket
    seconds: float
    num_steps: int | None = None

    def __str__(self) -> str:
        if self.num_steps is None:
            what = f"has been played for {self.seconds:.0f} s and has not returned"
        else:
            what = (
                f"has played {self.num_steps:,} steps in one episode, for {self.seconds:.0f} s, "
                "and has not ended"
            )
        return (
            f"ticket {self.ticket} {what}; if its episodes may have no end, set "
            "environment.max_episode_steps"
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers, by the names that they have in the journal."""
        steps = {} if self.num_steps is None else {"tickets/longest_episode_steps": self.num_steps}
        return {"tickets/longest_s": self.seconds, **steps}


class Patience:
    """Decides when a ticket that lasts is worth a word."""

    def __init__(self) -> None:
        self._ticket: Ticket | None = None
        self._longest_ended_s = self._seconds = 0.0

    def note(
        self, ticket: Ticket, seconds: float, num_steps: int | None = None
    ) -> LongTicket | None:
        """Return what is to be told of a ticket that is still being played, if anything is."""
        if ticket != self._ticket:
            self._longest_ended_s = max(self._longest_ended_s, self._seconds)
            self._ticket, self._reports = ticket, WaitReports(max(_FIRST_S, self._longest_ended_s))
        self._seconds = seconds
        if not self._reports.is_due(seconds):
            return None
        return LongTicket(ticket, seconds, num_steps)


class LongTicketNotice:
    """Prints what is to be told of tickets that are played outside of a run."""

    def __init__(self, console: PlainConsole) -> None:
        self._console, self._patience = console, Patience()

    def __call__(self, ticket: Ticket, num_steps: int, seconds: float) -> None:
        """Take note of how long an episode of a ticket is by now."""
        if long := self._patience.note(ticket, seconds, num_steps):
            self._console.say(str(long), "yellow")
