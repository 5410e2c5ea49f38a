"""Tracebacks in messages: the calls of the user's own code, and how many others were left out."""

import re
from functools import cache

from reinforce.configs.user_code import is_the_users

_CALL = r'  File "(?P<file>[^"\n]+)", line \d+, in .*\n(?:    .*\n)*'
_CALLS = re.compile(rf"(?:\n +[\^~]+(?=\n))*\n(?P<calls>(?:{_CALL})+)")
"""Below the marks that Ray leaves of calls of its own, whose lines it takes out."""
_ONE_CALL = re.compile(_CALL)


def folded(message: str) -> str:
    """Return a message in which tracebacks show the user's calls, and the one that raised.

    Where nothing of the user's was called, they are left as they are.
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
    calls = "1 call" if num_left_out == 1 else f"{num_left_out} calls"
    return f"{text}\n{calls} of libraries and of this program left out; --traceback full shows all"


@cache
def _is_own(file: str) -> bool:
    return is_the_users(file)
