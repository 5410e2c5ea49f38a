"""SIGINT, SIGTERM and SIGHUP: obeyed at the next safe point; a second one at once.

While this process plays a ticket, every point is safe, because the ticket is discarded.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self, TypeVar

from reinforce.cluster.errors import InterruptedRunError
from reinforce.cluster.sudden_end import end_at_once, hurry

_T = TypeVar("_T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ECHO_S = 0.3
"""A signal this soon after the first is the same one, which a wrapper such as ``timeout`` has
passed on."""


class Interrupts:
    """Context in which the first signal only sets a flag, which ``check`` turns into an exception.

    So no write is torn and no update is half applied.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_requested = False
        self._received_at_s = 0.0
        self._is_entered = False
        # Python gives signals to the main thread alone, and lets no other handle them.
        self._is_possible = threading.current_thread() is threading.main_thread()
        self._raises = False
        self._previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> Self:
        self._is_entered = True
        self.take_back()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_entered = False
        if not self._is_possible:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def take_back(self) -> None:
        """Handle signals again, even if someone else has installed a handler since.

        Ray does: its handler prints a trace and aborts the process after three seconds.
        """
        if not (self._is_entered and self._is_possible):
            return
        for number in _SIGNALS:
            if self._previous[number] is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._on_signal)

    @property
    def received(self) -> InterruptedRunError | None:
        """The error for the first signal, if one came."""
        if self._received is None:
            return None
        return InterruptedRunError(self._received, is_request=self._is_requested)

    def request(self, number: signal.Signals) -> None:
        """Act, from another thread, as if a signal had come, unless one already has."""
        if self._received is not None:
            return
        self._is_requested = True
        if self._is_possible and self._previous[number] is not signal.SIG_IGN:
            # To the thread that may be waiting for something, which only a real signal ends.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:
            self._received, self._received_at_s = number, time.monotonic()

    def is_late(self, by_s: float) -> bool:
        """Return whether a signal came at least this many seconds ago."""
        return self._received is not None and time.monotonic() - self._received_at_s >= by_s

    def check(self) -> None:
        """Raise InterruptedRunError if a signal came."""
        if self.received:
            raise self.received

    def call(self, function: Callable[[], _T], *, obey_at_once: bool) -> _T:
        """Call a function in which a signal raises InterruptedRunError at once, or not at all.

        At once: for functions that may never end and leave nothing half done; their code sees a
        KeyboardInterrupt. Not at all, within such a call: for parts that must not be torn.
        """
        before = self._raises
        try:
            try:
                self._raises = obey_at_once
                self.check()  # one may have come before
                result = function()
            finally:
                self._raises = before
        except KeyboardInterrupt:
            self.check()
            raise  # not of ours
        self.check()  # one may have come that the function caught, or that had to wait
        return result

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._received is not None:
            if now_s - self._received_at_s < _ECHO_S:
                return
            end_at_once(128 + number)
        self._received, self._received_at_s = number, now_s
        hurry()
        signal.alarm(0)  # by which Ray's handler would abort us, if it was in place still
        with suppress(OSError):
            # Nobody can press it in a job's log.
            again = b"; press Ctrl-C again to abort" * os.isatty(2)
            os.write(2, b"\nreinforce: stopping at the next safe point%b\n" % again)
        if self._raises and self._is_entered:
            raise KeyboardInterrupt


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Context of a whole command, which SIGTERM and SIGHUP end as Ctrl-C does.

    By default they would leave a hidden cursor and half-made files. A second signal ends it at
    once. ``Interrupts`` takes over while it is active.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, first_s = os.getpid(), 0.0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        if os.getpid() != process:  # a fork, such as a simulator's, ends as others do
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if not first_s:
            first_s = time.monotonic()
            hurry()
            raise KeyboardInterrupt(signal.Signals(number))
        if time.monotonic() - first_s >= _ECHO_S:
            end_at_once(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, on_signal)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def signal_behind(interrupt: KeyboardInterrupt) -> signal.Signals:
    """Return the signal that ended a command."""
    numbers = (cause for cause in interrupt.args if isinstance(cause, signal.Signals))
    return next(numbers, signal.SIGINT)
