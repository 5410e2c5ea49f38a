"""Names of one version of a policy: ``RUN@best`` and ``RUN@120``."""

import re
from contextlib import suppress
from pathlib import Path

_VERSION = re.compile(r"(.+)@(best|\d+)")


def place_and_version(source: str) -> tuple[str, str]:
    """Return the place of checkpoints, and ``best``, an update, or "" for the newest."""
    found = _VERSION.fullmatch(source)
    if found is None:
        return source, ""
    with suppress(OSError):  # whoever opens the place says what is wrong with it
        if Path(source).is_dir():
            return source, ""
    return found[1], found[2]
