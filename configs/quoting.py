"""How messages quote what others wrote: on one line, cut, and without characters that act."""

import shlex

_MAX_QUOTED = 200
"""Characters of a value that a message shows."""

_MAX_LINE = 2000
"""Characters of a line that a message may have: more than any that is meant to be read."""


_MAX_END = 400
"""How many of them come from the end."""


def command_line(verb: str, *words: object) -> str:
    """Return a command of ours as a message advises it: it can be copied, whatever a path holds."""
    return shlex.join(["reinforce", verb, *map(str, words)])


def shown(value: object) -> str:
    """Return a value of the user's as a message quotes it: like ``repr``, on one line and cut."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no integer of thousands of digits
        return f"a {type(value).__name__} with too long a number"
    return cut_line(printable(text).replace("\n", "\\n"), _MAX_QUOTED)


def printable(text: str) -> str:
    """Return a text in which characters that a terminal obeys, or cannot show, are escaped.

    Lines and tabs stay. What would colour, move the cursor, or turn the direction does not.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def message_text(text: str) -> str:
    """Return a message as it may leave the program: printable, and without endless lines."""
    return "\n".join(map(_without_middle, printable(text).split("\n")))


def _escaped(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


def _without_middle(line: str) -> str:
    """What is wrong often stands behind the value that is too long."""
    if len(line) <= _MAX_LINE:
        return line
    return f"{line[: _MAX_LINE - _MAX_END]} ... ({len(line):,} characters) ... {line[-_MAX_END:]}"


def cut_line(line: str, limit: int) -> str:
    """Return a line, or its first ``limit`` characters and how many there were."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]}... ({len(line):,} characters)"
