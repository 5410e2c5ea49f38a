"""The result of a ``reinforce doctor`` check: one line, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from reinforce.cluster.background_call import call_within

TIMEOUT_S = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Finding:
    """A finding about a subject, with advice unless all is well.

    A failure would prevent a run, or lose its results.
    """

    level: Literal["ok", "warning", "failure"]
    subject: str
    message: str
    advice: str = ""

    def line(self) -> str:
        """Return the finding as it is printed."""
        advice = f"\n{'':<26}-> {self.advice}" if self.advice else ""
        return f"{self.level:<9}{self.subject:<17}{self.message}{advice}"


ok = partial(Finding, "ok")
warning = partial(Finding, "warning")
failure = partial(Finding, "failure")


def within_timeout(look: Callable[[], _T], who: str, timeout_s: float | None = None) -> _T:
    """Call a function; raise TimeoutError if it has not returned in time."""
    return call_within(timeout_s or TIMEOUT_S, look, who)
