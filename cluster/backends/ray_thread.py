"""The thread in which Ray is started: given up if that takes too long, and joined by nobody."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

from cluster.interrupts import Interrupts

_POLL_S = 0.2
_AFTER_A_SIGNAL_S = 8.0
"""What Ray may still take to start: ended halfway, it would leave more behind."""


class RayThread:
    """A thread that makes one call, and lives until it is let go.

    In a thread Ray cannot replace our handlers of signals, and we can look out for them. It has to
    live as long as the session, because the processes that it starts are killed by the system when
    it ends.
    """

    def __init__(self) -> None:
        self._outcome: Future[object] = Future()
        self._is_over = threading.Event()

    @property
    def has_returned(self) -> bool:
        """Whether the call is no longer going on, if it ever was."""
        return self._outcome.done()

    def call(self, start: Callable[[], object], interrupts: Interrupts, timeout_s: float) -> None:
        """Wait until a function has returned.

        Raises:
            TimeoutError: It has not. It may go on behind our back.
            InterruptedRunError: A signal came; if the function has not returned seconds later, it
                may go on behind our back, too.
            Exception: Its own.
        """
        threading.Thread(target=self._run, args=[start], name="ray", daemon=True).start()
        deadline_s, is_stopped = time.monotonic() + timeout_s, False
        while not wait([self._outcome], _POLL_S).done:
            now_s = time.monotonic()
            if interrupts.received and not is_stopped:
                deadline_s, is_stopped = min(deadline_s, now_s + _AFTER_A_SIGNAL_S), True
            if now_s > deadline_s:
                interrupts.check()
                raise TimeoutError(f"it has not answered for {timeout_s:g} s")
        interrupts.check()
        self._outcome.result()

    def let_go(self) -> None:
        """Have the thread end as soon as its call has."""
        self._is_over.set()

    def _run(self, start: Callable[[], object]) -> None:
        try:
            self._outcome.set_result(start())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._outcome.set_exception(error)
        self._is_over.wait()
