"""Names that indicate a secret, and values without secrets for everything that others may see."""

import re
from collections.abc import Mapping
from typing import Any

SECRET_NAME = re.compile(
    r"password|passwd|pwd|passphrase|secret|token|credential"
    r"|auth(?!or(?!i[sz]))"  # authorization, but not author
    r"|(?:api|access|license|private)_?key"
    r"|(?<![a-z0-9])key(?![a-z0-9])"  # as a word: not monkey, keyboard or num_keys
    r"|(?-i:(?<=[a-z0-9])Key(?![a-z0-9]))",  # as one in sshKey, but not in numKeys
    re.IGNORECASE,
)
"""In the name of a setting, and in a word of the command that holds names and values."""

_MEASURE = re.compile(
    r"^(?:num|max|min|n)_|^tokens(?![a-z0-9])"
    r"|(?:^|_)(?:dim|sizes?|steps|length|scale|layers|heads|units|channels|depth|width)$",
    re.IGNORECASE,
)
"""In the name of a number that says how many or how much: ``num_tokens``, ``key_dim``, and in what
belongs to something called a secret ``layers``."""

HIDDEN = "***"


def without_secrets(value: Any) -> Any:
    """Return a setting with ``***`` in place of values whose names indicate a secret, at any depth.

    Booleans stay, and so do numbers whose names indicate a measure: ``num_tokens`` is no secret,
    and a policy cannot be made without it.
    """
    return _shown(value)


def _shown(value: Any, *, is_secret: bool = False, is_measure: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _shown(
                inner,
                is_secret=is_secret or bool(SECRET_NAME.search(str(key))),
                is_measure=bool(_MEASURE.search(str(key))),
            )
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(each, is_secret=is_secret, is_measure=is_measure) for each in value]
    stays = value is None or isinstance(value, bool) or (isinstance(value, str) and not value)
    if stays or not is_secret or (is_measure and isinstance(value, int | float)):
        return value
    return HIDDEN


def lacks_secrets(value: Any) -> bool:
    """Return whether a setting is what ``without_secrets`` has left of another."""
    if isinstance(value, Mapping):
        return any(map(lacks_secrets, value.values()))
    if isinstance(value, list | tuple):
        return any(map(lacks_secrets, value))
    return isinstance(value, str) and value == HIDDEN
