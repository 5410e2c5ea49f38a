"""Numbers for people: the same format everywhere, with digits according to size."""

import math
from datetime import timedelta


def number(value: float, *beside: float) -> str:
    """Return a number with four significant digits, or three if it is below 1.

    Args:
        value: The number.
        beside: Numbers shown next to it: all get the digits of the largest.
    """
    if not math.isfinite(value):
        return str(value)
    scale = max(abs(each) for each in (value, *beside) if math.isfinite(each))
    if scale != 0 and not 1e-4 <= scale < 1e9:
        return f"{value:.4g}"
    exponent = math.floor(math.log10(scale)) if scale else 0
    return f"{value:z,.{max(0, 3 - exponent) if exponent >= 0 else 2 - exponent}f}"


def numbers(*values: float) -> list[str]:
    """Return numbers for display side by side, with the same decimals."""
    return [number(value, *values) for value in values]


def mean_and_interval(mean: float, low: float, high: float) -> str:
    """Return a mean and its 95 % interval, unless that is NaN: ``432.1 (95 %: 420.0 to 444.2)``."""
    if math.isnan(low):
        return number(mean)
    shown, *ends = numbers(mean, low, high)
    return f"{shown} (95 %: {' to '.join(ends)})"


def duration(seconds: float) -> str:
    """Return whole seconds as ``hours:minutes:seconds``, preceded by days, if any."""
    try:
        return str(timedelta(seconds=round(seconds)))
    except (OverflowError, ValueError):  # centuries
        return "very long"
