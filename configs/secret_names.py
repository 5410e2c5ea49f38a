"""What is called a secret, and values without it, for all that others may see."""

import re
from collections.abc import Mapping
from typing import Any

SECRET_NAME = re.compile(
    r"password|passwd|pwd|passphrase|secret|token|credential"
    r"|auth(?!or(?!i[sz]))"  # authorization, but not author
    r"|(?:api|access|license|private)_?key"
    r"|(?<![a-z0-9])key(?![a-z0-9])",  # as a word: not monkey, keyboard or num_keys
    re.IGNORECASE,
)
"""In the name of a setting, and in a word of the command that holds names and values."""

HIDDEN = "***"


def without_secrets(value: Any) -> Any:
    """Return a setting, with ``***`` for each text in what is called a secret, at any depth of it.

    Numbers and booleans stay: ``num_tokens`` is none, and a policy cannot be made without it.
    """
    return _shown(value, is_secret=False)


def _shown(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _shown(inner, is_secret=is_secret or bool(SECRET_NAME.search(str(key))))
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(each, is_secret=is_secret) for each in value]
    return HIDDEN if is_secret and isinstance(value, str) and value else value


def lacks_secrets(value: Any) -> bool:
    """Return whether a setting is what ``without_secrets`` has left of another."""
    if isinstance(value, Mapping):
        return any(map(lacks_secrets, value.values()))
    if isinstance(value, list | tuple):
        return any(map(lacks_secrets, value))
    return isinstance(value, str) and value == HIDDEN
