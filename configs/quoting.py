"""How messages quote other people's text: on one line, cut, and without control characters."""

import shlex

_MAX_QUOTED = 200
"""Characters of a value that a message shows."""

_MAX_LINE = 2000
"""Longest line of a message, in characters: longer than any meant for reading."""


_MAX_END = 400
"""How many of them come from the end."""


def command_line(verb: str, *words: object) -> str:
    """Return one of our commands for a message, quoted so that it can be copied."""
    return shlex.join(["reinforce", verb, *map(str, words)])


def shown(value: object) -> str:
    """Return a user's value as a message quotes it: like ``repr``, on one line and cut."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no integer of thousands of digits
        return f"a {type(value).__name__} with too long a number"
    return cut_line(printable(text).replace("\n", "\\n"), _MAX_QUOTED)


def printable(text: str) -> str:
    """Return a text with control characters, and those that a terminal cannot show, escaped.

    Newlines and tabs stay; colours, cursor movements and changes of direction do not.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def message_text(text: str) -> str:
    """Return a message ready for output: printable, and without endless lines."""
    return "\n".join(map(_without_middle, printable(text).split("\n")))


def _escaped(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


def _without_middle(line: str) -> str:
    """Keep the end of a line, because the fault is often named after the long value."""
    if len(line) <= _MAX_LINE:
        return line
    return f"{line[: _MAX_LINE - _MAX_END]} ... ({len(line):,} characters) ... {line[-_MAX_END:]}"


def cut_line(line: str, limit: int) -> str:
    """Return a line, or its first ``limit`` characters and how many there were."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]}... ({len(line):,} characters)"
