"""``breakpoint()`` in a process of Ray: no debugger can follow there, so it says where one can."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Never

_VARIABLE = "PYTHONBREAKPOINT"

_NEED_A_TERMINAL = ("", "pdb", "ipdb", "pudb", "IPython")
"""Debuggers, by their modules, that would read from a terminal which is not there."""


_WAY_OUT = "(with cluster.backend inline it can)"


class BreakpointReachedError(Exception):
    """A process of Ray has come to a ``breakpoint()``."""


def breakpoint_behind(error: Exception) -> str:
    """Return the text of the BreakpointReachedError that an error of Ray comes from, or "".

    It may be the reason of another, as in a constructor, of which Ray keeps the text alone.
    """
    found = re.search(rf"{BreakpointReachedError.__name__}: (.*?{re.escape(_WAY_OUT)})", str(error))
    return found[1] if found else ""


def users_choice() -> str:
    """Return the debugger that the user of this process has chosen; "" for Python's own."""
    return os.environ.get(_VARIABLE, "")


@contextmanager
def users_choice_kept() -> Iterator[None]:
    """Context after which the choice is what it was: Ray puts its own debugger in its place."""
    before = os.environ.get(_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def refuse_breakpoints(choice: str) -> None:
    """Have ``breakpoint()`` raise BreakpointReachedError in this process.

    Unless the user has switched it off, with ``PYTHONBREAKPOINT=0``, or has chosen a debugger that
    needs no terminal. Ray's own, which would wait for a connection that nobody has heard of, is
    such a choice; it is not the default.
    """
    os.environ[_VARIABLE] = choice
    if choice.partition(".")[0] in _NEED_A_TERMINAL:
        sys.breakpointhook = _refuse


def _refuse(*_: Any, **__: Any) -> Never:
    caller = sys._getframe(1)
    raise BreakpointReachedError(
        f"breakpoint() in {caller.f_code.co_filename}, line {caller.f_lineno}, in a process of "
        f"Ray, where no debugger can follow {_WAY_OUT}"
    )
