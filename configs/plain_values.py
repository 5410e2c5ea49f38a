"""Values as YAML and JSON hold them, so that what is recorded is what was used."""

import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

from pydantic import BeforeValidator


def is_array(value: Any) -> bool:
    """Return whether a value is an array or a number of NumPy's or Torch's, which stay unloaded."""
    return hasattr(value, "tolist") and not isinstance(value, type)


def plain(value: Any, where: str) -> Any:
    """Return a value made of mappings, lists, text, numbers, truth values and None.

    Tuples become lists, NumPy's values those of Python, dates and paths text.

    Args:
        value: What the user gave.
        where: Its setting, for the message.

    Raises:
        ValueError: It holds something that cannot be written down and read back.
    """
    if is_array(value):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_text(key, where): plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, where) for each in value]
    return _leaf(value, where)


def _text(key: Any, where: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise ValueError(f"{where}: a key of type {type(key).__name__} would be read back as text")


def _leaf(value: Any, where: str) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} = {value} cannot be recorded: give a finite number")
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration, the value
    for kind in (bool, int, float):
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
