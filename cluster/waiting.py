"""Shows what a command is doing: a spinner in a terminal, and a line now and then everywhere."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from reinforce.cluster.console import ATTENTION, PlainConsole

_SPINNER_AFTER_S = 0.2
"""Seconds before a spinner appears, so that it does not just flash."""

_NAMED_AFTER_S = 2.0
"""Seconds before a line names the stage, without a spinner."""

_STARTING = re.compile("^starting (.*)$")
_DOING = re.compile(r"^(waiting for|\w+ing) ")
"""Words that `status` leaves out, because it says "waiting for"."""

_LINE_AFTER_S = 15.0
"""Seconds, longer than any normal wait."""


class WaitReports:
    """Decides when a wait is reported: after a while, and again each time it doubles."""

    def __init__(self, after_s: float = _LINE_AFTER_S) -> None:
        self._next_s = after_s

    def is_due(self, waited_s: float) -> bool:
        """Return whether a report is due now."""
        if waited_s < self._next_s:
            return False
        self._next_s = 2 * waited_s
        return True


@contextmanager
def waiting(
    console: PlainConsole,
    stage: str,
    hint: Callable[[], str] = str,
    line_after_s: float = _LINE_AFTER_S,
    note: Callable[[object, str], None] = lambda wait, text: None,
    *,
    at_once: bool = False,
) -> Iterator[None]:
    """Context that shows the user what is happening, or what the command waits for.

    Args:
        console: The console; a quiet one stays quiet.
        stage: What is happening, such as "starting Ray".
        hint: Returns at once why it takes long, or what to do about it; "" if unknown.
        line_after_s: Seconds before the first line.
        note: Called with an object that identifies the wait and what follows "waiting for", such as
            "Ray to start", with each line; and with "" at the end.
        at_once: Name the stage in a line at once where no spinner does.
    """
    is_over = threading.Event()
    at_once = at_once and not _has_spinner(console)
    if at_once:
        _say(console, stage)
    # Standard error is where programs look for errors; a wait has its line when it lasts.
    is_named = at_once or console.stderr or stage.startswith("waiting for ")
    arguments = (console, stage, hint, line_after_s, note, is_over)
    report = partial(_report, is_named=is_named)
    thread = threading.Thread(target=report, args=arguments, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _report(
    console: PlainConsole,
    stage: str,
    hint: Callable[[], str],
    line_after_s: float,
    note: Callable[[object, str], None],
    is_over: threading.Event,
    *,
    is_named: bool,
) -> None:
    began_s, reports = time.monotonic(), WaitReports(line_after_s)
    waited_for = _DOING.sub("", _STARTING.sub(r"\1 to start", stage))
    is_noted, has_spinner = False, _has_spinner(console)
    is_named = is_named or has_spinner
    with ExitStack() as shown:
        if is_over.wait(min(_SPINNER_AFTER_S, line_after_s)):
            return
        if has_spinner:
            shown.enter_context(console.showing_wait(stage))
        while True:
            waited_s = time.monotonic() - began_s
            if reports.is_due(waited_s):
                because = f": {reason}" if (reason := hint()) else ""
                _say(console, f"still {stage} after {waited_s:.0f} s{because}")
                note(is_over, f"{waited_for}{because}")
                is_noted = True
            elif not is_named and waited_s >= _NAMED_AFTER_S:
                _say(console, stage)
                is_named = True
            if is_over.wait(min(_SPINNER_AFTER_S, line_after_s)):
                break
        if is_noted:
            note(is_over, "")


def _has_spinner(console: PlainConsole) -> bool:
    return console.is_terminal and not console.quiet


def _say(console: PlainConsole, text: str) -> None:
    with suppress(OSError, UnicodeError):  # what is waited for is worth more
        console.say(text, ATTENTION)
