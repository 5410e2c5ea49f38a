"""A call in a thread of its own, for what may hang: nobody has to wait for it, or to join it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

_T = TypeVar("_T")


def start_in_background(function: Callable[[], _T]) -> "Future[_T]":
    """Return the future result of a function, which may hang, that a daemon thread calls."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=run, name="background-call", daemon=True).start()
    return outcome


def call_within(timeout_s: float, function: Callable[[], _T], who: str) -> _T:
    """Return what a function returns, or raise what it raises.

    Args:
        timeout_s: How long to wait for it.
        function: What may hang.
        who: Whose answer it is, for the message.

    Raises:
        TimeoutError: It has not returned by then, and goes on in its thread.
    """
    outcome = start_in_background(function)
    if not wait([outcome], timeout_s).done:
        raise TimeoutError(f"{who} has not answered for {timeout_s:g} s")
    return outcome.result()
