"""Calls that may hang, in a separate thread that nobody has to wait for or join."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

_T = TypeVar("_T")


def start_in_background(function: Callable[[], _T]) -> "Future[_T]":
    """Call a function that may hang in a daemon thread, and return its future result."""
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
        timeout_s: Seconds to wait.
        function: The function that may hang.
        who: Who should answer, for the message.

    Raises:
        TimeoutError: It has not returned in time, and continues in its thread.
    """
    outcome = start_in_background(function)
    if not wait([outcome], timeout_s).done:
        raise TimeoutError(f"{who} has not answered for {timeout_s:g} s")
    return outcome.result()
