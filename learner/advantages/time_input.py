"""The time of a step as an additional input of a value function."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import VECTOR, ObservationLayout, ObservationLeaf

_TIME = ObservationLeaf(("(time)",), "numbers", (1,))


class TimeInput:
    """Adds ``t / horizon_steps`` to observations, as the last number of their vector.

    Under a time limit, the rewards still to come depend on the time left. The number is not
    normalised: the horizon is its unit.

    Source: Pardo et al. (2018), "Time Limits in Reinforcement Learning", arXiv:1712.00378.
    """

    def __init__(self, layout: ObservationLayout, horizon_steps: int) -> None:
        self._layout, self._horizon_steps = layout, horizon_steps
        self.layout = ObservationLayout((*layout.leaves, _TIME))

    def rows(self, observations: NDArray[Any], steps: NDArray[np.int64]) -> NDArray[Any]:
        """Return [n, ...] rows of ``self.layout`` for rows and their [n] steps of the episode."""
        time = (steps / self._horizon_steps).astype(np.float32)[:, None]
        vector = np.hstack([self._layout.vector(observations), time])
        rows = self.layout.empty(len(observations))
        if rows.dtype.names is None:
            rows[:] = vector
            return rows
        rows[VECTOR] = vector
        for name, image in self._layout.pixels(observations).items():
            rows[name] = image
        return rows

    def statistics(self, statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return means and inverse deviations, extended so that the time stays as it is."""
        unchanged = np.array([[0.0], [1.0]], np.float32)
        return np.hstack([statistics.reshape(2, -1), unchanged]).ravel()
