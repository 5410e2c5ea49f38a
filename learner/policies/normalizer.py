"""Observation statistics, which the learner collects and freezes into each version of the weights.

If each process used its own statistics, each would have a different policy. Here they travel at the
end of the flat vector of weights, so worker and learner use the same ones, and the recomputed
log-probabilities are those of the policy that acted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OBSERVATION_LIMIT = 10.0
"""Normalised observations are clipped to +- this, so that no outlier saturates the network."""

_RESOLUTION = 1e-6
"""Deviations below this share of the mean are rounding of float32, not measurements."""

_SMALLEST_DEVIATION = 1e-12
"""Smaller deviations around a mean of zero are rounding of float64 in a simulator."""


class ObservationStatistics:
    """Mean and variance of every number of the vector over all steps so far, in float64.

    Source: Chan, Golub & LeVeque (1983), "Algorithms for Computing the Sample Variance".
    """

    def __init__(self, is_continuous: NDArray[np.bool_]) -> None:
        self._is_continuous = is_continuous
        self._count = 0.0
        self._mean = np.zeros(len(is_continuous))
        self._squares = np.zeros(len(is_continuous))

    def update(self, vectors: NDArray[np.float32]) -> None:
        """Count [n, vector_size] observations, n >= 1."""
        values = vectors.astype(np.float64)
        mean = values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        total = self._count + len(values)
        change = mean - self._mean
        self._squares += squares + change**2 * (self._count * len(values) / total)
        self._mean += change * (len(values) / total)
        self._count = total

    def frozen(self) -> NDArray[np.float32]:
        """Return [2 * vector_size] means followed by inverse deviations, for the weights.

        0 and 1 before the first observation, and always for categories. Numbers that vary only by
        rounding are just centred; small numbers are scaled like others.
        """
        if self._count == 0:
            means, inverses = np.zeros_like(self._mean), np.ones_like(self._mean)
        else:
            variances = self._squares / self._count
            floor = np.maximum(_RESOLUTION * np.abs(self._mean), _SMALLEST_DEVIATION)
            varies = self._is_continuous & (variances > floor**2)
            means = np.where(self._is_continuous, self._mean, 0.0)
            inverses = np.where(varies, 1.0 / np.sqrt(np.where(varies, variances, 1.0)), 1.0)
        return np.concatenate([means, inverses]).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "count": np.array([self._count]),
            "mean": self._mean.copy(),
            "squares": self._squares.copy(),
        }

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._count = float(arrays["count"][0])
        self._mean, self._squares = arrays["mean"].copy(), arrays["squares"].copy()
