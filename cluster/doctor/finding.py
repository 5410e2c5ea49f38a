"""What a check of ``reinforce doctor`` finds: one line, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from reinforce.cluster.background_call import call_within

TIMEOUT_S = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Finding:
    """What was seen of a subject, and what to do about it; no advice if all is well.

    A failure would keep a run from going or from being kept.
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


def within_timeout(look: Callable[[], _T], who: str) -> _T:
    """Return what a function returns; TimeoutError if it has not by then."""
    return call_within(TIMEOUT_S, look, who)
