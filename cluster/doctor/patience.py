"""How long the doctor waits for what may never come back: a store, or a server."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

PATIENCE_S = 5.0

_T = TypeVar("_T")


def within_patience(look: Callable[[], _T], who: str) -> _T:
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
