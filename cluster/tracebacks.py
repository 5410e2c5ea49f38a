"""Tracebacks in messages: the calls in the user's own code, and the number left out."""

import re
from functools import cache

from reinforce.configs.plurals import counted
from reinforce.configs.user_code import is_the_users

_CALL = r'  File "(?P<file>[^"\n]+)", line \d+, in .*\n(?:    .*\n)*'
_CALLS = re.compile(rf"(?:\n +[\^~]+(?=\n))*\n(?P<calls>(?:{_CALL})+)")
"""Ray's markers for its own calls, whose lines it removes."""
_ONE_CALL = re.compile(_CALL)


def folded(message: str) -> str:
    """Return a message whose tracebacks show only the user's calls and the one that raised.

    Without any of the user's calls, they remain unchanged.
    """
    num_left_out = 0

    def fold(match: re.Match[str]) -> str:
        nonlocal num_left_out
        *calls, last = _ONE_CALL.finditer(match["calls"])
        own = [call[0] for call in calls if _is_own(call["file"])]
        if not own and not _is_own(last["file"]):
            return match[0]
        num_left_out += len(calls) - len(own)
        return "\n" + "".join([*own, last[0]])

    text = _CALLS.sub(fold, message)
    if not num_left_out:
        return text
    calls = counted(num_left_out, "call")
    return f"{text}\n{calls} of libraries and of this program left out; --traceback full shows all"


@cache
def _is_own(file: str) -> bool:
    return is_the_users(file)
