"""Values as YAML and JSON hold them, so that what is recorded is what was used."""

import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

from pydantic import BeforeValidator


def plain(value: Any, where: str) -> Any:
    """Return a value made of mappings, lists, text, numbers, truth values and None.

    Tuples become lists, NumPy's values those of Python, dates and paths text.

    Args:
        value: What the user gave.
        where: Its setting, for the message.

    Raises:
        ValueError: It holds something that cannot be written down and read back.
    """
    if hasattr(value, "tolist"):  # NumPy's and Torch's, which are not imported here
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_text(key, where): plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, where) for each in value]
    return _leaf(value, where)


def _text(key: Any, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    raise ValueError(f"{where}: the key {key!r} must be text, as which it would be read back")


def _leaf(value: Any, where: str) -> Any:
    if isinstance(value, date | PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} = {value} cannot be recorded: give a finite number")
    for kind in (bool, int, float, str):  # without the subclass: an enumeration is not read back
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    raise ValueError(
        f"{where} is a {type(value).__name__}, which cannot be recorded: give numbers, text, lists "
        "and mappings"
    )


def as_plain(where: str) -> BeforeValidator:
    """Return the annotation of a setting that holds arguments by name."""
    return BeforeValidator(lambda value: plain(value, where))
