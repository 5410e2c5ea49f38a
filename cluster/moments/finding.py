"""What is not as a run recorded it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded.

    Attributes:
        part: ``batch``, ``gradient``, ``weights`` or ``record`` of an update that was made again;
            or the ``journal``, a ``checkpoint``, a ``setting`` or the ``summary``.
        updates: Updates applied where it was found; None where it belongs to none.
        text: What differs, and how, in a sentence.
    """

    part: str
    updates: int | None
    text: str
