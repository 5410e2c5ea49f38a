"""SIGINT and SIGTERM: noted at once, obeyed at the next safe point; a second one exits at once."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

from cluster.errors import InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Context in which the first signal only raises a flag that ``check`` turns into an exception.

    So no write is torn and no update is half applied. Libraries that install handlers of their own
    (Ray does) are overruled by ``install``.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Take over the signals, also from a library that took them since."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raise InterruptedRunError if a signal came."""
        if self._received is not None:
            raise InterruptedRunError(self._received)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(128 + number)
        self._received = number
