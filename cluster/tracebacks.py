"""Tracebacks in messages: the calls in the user's own code, and the number left out.

Our own errors say what is wrong: a traceback that none of the user's calls is in is left out.
"""

import re
from functools import cache
from types import TracebackType

from reinforce.configs.plurals import counted
from reinforce.configs.user_code import is_the_users, place

_CALL = r'  File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>.*)\n(?:    .*\n)*'
_CALLS = re.compile(
    r"(?P<head>^(?:Traceback \(|ray::).*)?"
    r"(?:\n +[\^~]+(?=\n))*\n"  # Ray's markers for its own calls, whose lines it removes
    rf"(?P<calls>(?:{_CALL})+)(?P<is_ours>reinforce\.(?:\w+\.)+(?=\w+: ))?(?P<name>\w+: )?",
    re.MULTILINE,
)
_RAYS_NAMES = re.compile(r", actor_id=.*\)$")
_ONE_CALL = re.compile(_CALL)
_OUR_ERROR = re.compile(r"^reinforce\.(?:\w+\.)+\w+: ")
_FAILED_TICKET = re.compile(r"^TicketFailedError: (ticket .+? failed).*:$")


def folded(message: str, way_out: str = "; --traceback full shows all") -> str:
    """Return a message whose tracebacks show only the user's calls and the one that raised.

    Without any of the user's calls, they remain unchanged, or only what our error says remains.
    """
    num_left_out = 0

    def fold(match: re.Match[str]) -> str:
        nonlocal num_left_out
        *calls, last = _ONE_CALL.finditer(match["calls"])
        own = [call[0] for call in calls if _is_own(call["file"])]
        name = match["name"] or ""
        if own or _is_own(last["file"]):
            num_left_out += len(calls) - len(own)
            head = _RAYS_NAMES.sub(")", match["head"] or "")
            return "".join([head, "\n", *own, last[0], name])
        if not (match["head"] and match["is_ours"]):
            return match[0]
        num_left_out += len(calls) + 1
        return ""

    text = _CALLS.sub(fold, message)
    if not num_left_out:
        return text
    frames = counted(num_left_out, "stack frame")
    return f"{text}\n{frames} of libraries and of this program omitted{way_out}"


def fold_error(error: BaseException) -> None:
    """Leave in what Python prints of an error the user's calls alone, in its causes, too.

    A cause whose traceback is in the message is not printed again; it remains the context.
    """
    message = str(error)
    if (text := folded(message, "")) != message:
        error.args = (text,)
        error.__context__, error.__cause__ = error.__cause__ or error.__context__, None
        error.__suppress_context__ = True
    link: BaseException | None = error
    while link:
        link.__traceback__ = _own_calls(link.__traceback__)
        link = link.__cause__


def _own_calls(calls: TracebackType | None) -> TracebackType | None:
    """Return a traceback without calls of libraries and of this program."""
    own: list[TracebackType] = []
    while calls:  # a recursion would be as deep as the one that it may be about
        if _is_own(calls.tb_frame.f_code.co_filename):
            own.append(calls)
        calls = calls.tb_next
    kept: TracebackType | None = None
    for call in reversed(own):
        kept = TracebackType(kept, call.tb_frame, call.tb_lasti, call.tb_lineno)
    return kept


def last_own_call(message: str) -> str:
    """Return the last of the user's calls in a message, as in ``lift.py:12, in step``, or ""."""
    own = [call for call in _ONE_CALL.finditer(message) if _is_own(call["file"])]
    return place(own[-1]["file"], int(own[-1]["line"]), own[-1]["function"]) if own else ""


def in_a_line(message: str) -> str:
    """Return the first line of a message, and of one about an error what was raised, and where.

    As in ``ticket training 3:0 failed: ValueError: too far (lift.py:12, in step)``.
    """
    first, _, rest = message.partition("\n")
    if not (first.endswith(":") and rest):
        return first
    *_, calls = [0, *(match.end("calls") for match in _CALLS.finditer(message))]
    raised = (message[calls:] if calls else rest).partition("\n")[0]
    first = _FAILED_TICKET.sub(r"\1:", first)
    where = last_own_call(message).rpartition("/")[2]
    return f"{first} {without_our_path(raised)}{f' ({where})' * bool(where)}"


def without_our_path(line: str) -> str:
    """Return the last line of a traceback without module and class of an error of ours."""
    return _OUR_ERROR.sub("", line)


@cache
def _is_own(file: str) -> bool:
    return is_the_users(file)
