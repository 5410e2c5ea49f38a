"""What is called a secret, and values without it, for all that others may see."""

import re
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
    """Return a setting, with ``***`` for whatever is called a secret at any depth of it."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if SECRET_NAME.search(key) and inner else without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(each) for each in value]
    return value
