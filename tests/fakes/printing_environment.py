"""An environment that prints and logs, in its constructor and in the first step of an episode."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from fake_environments import Countdown

WAIT_S = 60.0


class Printing(Countdown):
    """A countdown that says ``text`` ``times`` over, and then what else it is told to do."""

    def __init__(self, text: str = "", times: int = 1, then: str = "", waits_for: str = "") -> None:
        super().__init__()
        self._text, self._times, self._then, self._waits_for = text, times, then, waits_for
        print("made", file=sys.stderr)
        if then == "break at once":
            breakpoint()

    def step(self, action: int) -> Any:
        result = super().step(action)
        if self._left == 2:
            for _ in range(self._times):
                print(self._text)
            if self._then == "log":
                logging.getLogger("mine").warning("%d is odd", 3)
                print("no end", end="")
            if self._then == "break":
                breakpoint()
            if self._waits_for:
                self._wait()
        return result

    def _wait(self) -> None:
        for _ in range(int(WAIT_S / 0.05)):
            if Path(self._waits_for).exists():
                return
            time.sleep(0.05)
        raise TimeoutError(f"{self._waits_for} did not come")


def say_it() -> None:
    """Stand for a debugger that needs no terminal."""
    print("a debugger")
