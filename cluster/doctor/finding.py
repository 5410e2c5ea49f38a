"""What a check of ``reinforce doctor`` finds: one line, and what to do about it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Literal, TypeVar


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: ``failure`` is what would keep a run from going or from being kept.
        subject: What was looked at, in a word or two.
        message: What was seen.
        advice: What to do; empty if all is well.
    """

    level: Literal["ok", "warning", "failure"]
    subject: str
    message: str
    advice: str = ""

    def line(self) -> str:
        """Return the finding as it is printed."""
        return f"{self.level:<9}{self.subject:<17}{self.message}" + (
            f"\n{'':<26}-> {self.advice}" if self.advice else ""
        )


def ok(subject: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", subject, message)


def warning(subject: str, message: str, advice: str) -> Finding:
    """Return a finding of something that works, and could be better."""
    return Finding("warning", subject, message, advice)


def failure(subject: str, message: str, advice: str) -> Finding:
    """Return a finding of something that would fail later."""
    return Finding("failure", subject, message, advice)


PATIENCE_S = 5.0

_T = TypeVar("_T")


def within_timeout(look: Callable[[], _T], who: str) -> _T:
    """Return what a function returns; it goes on in a thread that keeps nobody from leaving.

    Args:
        look: What may hang.
        who: Whose answer it is, for the message.

    Raises:
        TimeoutError: There is none yet.
    """
    answer: Future[_T] = Future()

    def run() -> None:
        try:
            answer.set_result(look())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([answer], PATIENCE_S).done:
        raise TimeoutError(f"{who} has not answered for {PATIENCE_S:g} s")
    return answer.result()
