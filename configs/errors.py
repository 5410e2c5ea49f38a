"""The error that a wrong configuration raises, and suggestions of similar names."""

import difflib
from collections.abc import Iterable


class ReinforceError(Exception):
    """Base class of every error that this project raises on purpose.

    Attributes:
        exit_code: What a command ends with: 1, it failed; 2, wrong usage, and nothing was started.
    """

    exit_code: int = 1


class ConfigError(ReinforceError):
    """A configuration that cannot be run; the message names the value and the way out.

    Not a ``ValueError`` on purpose: pydantic and tyro would catch one and wrap its text.
    """

    exit_code = 2

    def counted(self) -> str:
        """Return the message, preceded by the number of faults if there are several."""
        faults = [line for line in str(self).splitlines() if not line.startswith(" ")]
        return f"{len(faults)} things are wrong\n{self}" if len(faults) > 1 else str(self)


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.62, prefix: str = "") -> str:
    """Return a question such as ``did you mean 'a' or 'b'?``, empty if no name is similar.

    Args:
        name: What was written.
        known: What could be meant.
        cutoff: How similar a name must be, 0 to 1.
        prefix: Precedes each name in the question.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=cutoff)
    return f"did you mean {' or '.join(repr(prefix + each) for each in near)}?" if near else ""
