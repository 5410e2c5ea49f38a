"""Numbers of things in words."""


def counted(number: int, noun: str) -> str:
    """Return ``1 update`` or ``2,000 updates``.

    Args:
        number: How many.
        noun: What, in the singular; the plural adds an s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
