"""Categories that an environment shows though they are not in its space, which one-hot hides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.spaces import ObservationLayout


def num_unknown(layout: ObservationLayout, observations: NDArray[Any]) -> int:
    """Return in how many of [n, ...] rows a category is outside its space: all of its zeros.

    Numbers outside the bounds of their Box are not counted: the bounds are not used.
    """
    counts = [count for leaf in layout.vector_leaves for count in leaf.counts]
    if not counts:
        return 0
    starts = np.cumsum([0, *counts[:-1]])
    one_hot = layout.vector(observations)[:, ~layout.is_continuous]
    is_unknown = np.add.reduceat(one_hot, starts, axis=1) == 0
    return int(is_unknown.any(axis=1).sum())
