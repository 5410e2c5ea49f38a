"""The names that a mistyped one is nearest to, as every message offers them."""

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str]) -> str:
    """Return a question such as ``did you mean 'a' or 'b'?``, or an empty text if none is near."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
