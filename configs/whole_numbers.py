"""Numbers as people write them: ``1e6`` is text in YAML and on the command line, and no is no 0."""

import re
from decimal import Decimal
from typing import Any, get_args

_WITH_EXPONENT = re.compile(r"[+-]?\d[\d_]{0,30}(\.\d{1,30})?[eE]\+?\d{1,2}")
"""Bounded, because its author may be hostile: ``1e999999999`` has a billion digits."""


def as_whole(value: Any) -> Any:
    """Return the integer that a float or a text such as ``1e6`` equals, also in lists.

    Everything else is returned unchanged.
    """
    if isinstance(value, list | tuple):
        return type(value)(map(as_whole, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WITH_EXPONENT.fullmatch(value):
        number = Decimal(value)
        return int(number) if number == number.to_integral_value() else value
    return value


def without_booleans(value: Any) -> Any:
    """Return a value with text for booleans, also in lists and mappings: pydantic would take 1."""
    if type(value).__name__ in ("bool", "bool_"):  # the second is an older NumPy's
        return str(value).lower()
    if isinstance(value, list | tuple):
        return type(value)(map(without_booleans, value))
    if isinstance(value, dict):
        return {key: without_booleans(each) for key, each in value.items()}
    return value


def takes(annotation: Any, *kinds: Any) -> bool:
    """Return whether values of an annotation are, or contain, values of one of the kinds."""
    return annotation in kinds or any(takes(each, *kinds) for each in get_args(annotation))
