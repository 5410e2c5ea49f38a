"""Row-wise operations on many short rows, bit for bit those of NumPy along axis 1.

NumPy goes along a row one number at a time, so a thousand rows of two numbers cost a thousand
starts. Column by column they cost two calls.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLUMNS_FROM = 16
"""Rows per square of their length from which columns are faster (timed with 2, 4 and 18 columns,
docs/performance.md)."""


def row_maxima(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, 1] the largest number of each row of [n, k]."""
    if not _go_by_columns(rows):
        largest: NDArray[np.float32] = rows.max(axis=1, keepdims=True)
        return largest
    maxima = rows[:, 0].copy()
    for column in rows.T[1:]:
        np.maximum(maxima, column, out=maxima)
    return maxima[:, None]


def row_cumulated(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, k] the sums of each row up to each of its numbers, added from the left."""
    if not _go_by_columns(rows):
        return rows.cumsum(axis=1)
    sums = rows.copy()
    for before, column in zip(sums.T, sums.T[1:], strict=False):
        np.add(column, before, out=column)
    return sums


def row_counts(rows: NDArray[Any], limits: NDArray[Any]) -> NDArray[np.int64]:
    """Return [n] how many numbers of each row of [n, k] are at most the row's limit."""
    if not _go_by_columns(rows):
        counts: NDArray[np.int64] = (rows <= limits[:, None]).sum(axis=1)
        return counts
    counts = np.zeros(len(rows), np.int64)
    for column in rows.T:
        counts += column <= limits
    return counts


def _go_by_columns(rows: NDArray[Any]) -> bool:
    num_rows, length = rows.shape
    return bool(num_rows >= _COLUMNS_FROM * length**2)
