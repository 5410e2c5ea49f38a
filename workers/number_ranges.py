"""Numbers that policies cannot tell apart in float32, such as time stamps."""

from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import ObservationLayout, ObservationLeaf
from reinforce.workers.spaces import part_name

_FEW = 8
"""A number whose whole range spans this few float32 values causes a warning."""

_ROUNDING = 1e-12
"""A float64 that changes by less than this share of itself is constant except for rounding."""

_LARGE = 1000.0
"""Smaller numbers that hardly change are constants of a simulator, nearly."""


class NumberRanges:
    """Smallest and largest value so far of each number that float32 may have to round."""

    def __init__(self, layout: ObservationLayout) -> None:
        self._leaves = [leaf for leaf in layout.leaves if leaf.kind == "numbers"]
        self._ranges: dict[ObservationLeaf, tuple[NDArray[Any], NDArray[Any]]] = {}

    def note(self, observation: Any) -> None:
        """Include the values that an environment has shown."""
        for leaf in self._leaves:
            value = np.asarray(reduce(getitem, leaf.path, observation))
            if not np.can_cast(value.dtype, np.float32):
                low, high = self._ranges.get(leaf, (value, value))
                self._ranges[leaf] = np.minimum(low, value), np.maximum(high, value)

    def warnings(self) -> list[str]:
        """Return a warning for each part whose values become all or nearly all equal."""
        found = []
        for leaf, (low, high) in self._ranges.items():
            is_lost = _is_lost(low, high)
            if is_lost.any():
                place = np.unravel_index(int(is_lost.argmax()), is_lost.shape)
                where = f" in component {list(map(int, place))}" if place else ""
                found.append(
                    _warning(part_name("observation", leaf.path) + where, low[place], high[place])
                )
        return found


def _is_lost(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.bool_]:
    # Wider than int64 and float64, so that differences are exact enough.
    first, last = low.astype(np.longdouble), high.astype(np.longdouble)
    spread, largest = last - first, np.maximum(abs(first), abs(last))
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.spacing(largest.astype(np.float32))
    is_whole = np.issubdtype(low.dtype, np.integer)
    changes = spread > 0 if is_whole else (spread > _ROUNDING * largest) & (largest > _LARGE)
    return changes & (spread < _FEW * step)


def _warning(name: str, low: Any, high: Any) -> str:
    first, last = np.float32(low), np.float32(high)
    if first == last:
        loss = f"both of which are {float(first)}"
    else:
        count = (
            round((float(last) - float(first)) / float(np.spacing(max(abs(first), abs(last))))) + 1
        )
        loss = f"where it has {count} values"
    return (
        f"{name} goes from {low} to {high} in a random rollout, but the policy sees float32, "
        f"{loss}; policy.normalize_observations comes too late: subtract the constant part in the "
        "environment or in your own wrapper"
    )
