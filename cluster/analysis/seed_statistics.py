"""What several seeds say together: robust means and bootstrap intervals.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
arXiv:2108.13264. Runs of one configuration are one stratum of their stratified bootstrap.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From [R, ...] values of R runs to [...] one value."""


def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [...] the mean of [R, ...] over the runs."""
    result: NDArray[np.float64] = values.mean(axis=0)
    return result


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [...] the mean of the middle half of [R, ...], without the floor(R / 4) at each end.

    The definition of Agarwal et al., section 4.2. With fewer than four runs it is the mean.
    """
    cut = len(values) // 4
    result: NDArray[np.float64] = np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)
    return result


def bootstrap_interval(
    values: NDArray[np.float64], statistic: Statistic, num_resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [...] and [...] the ends of a 95 % percentile interval of a statistic of [R, ...].

    Whole runs are drawn with replacement. The generator is seeded, so that the same runs give the
    same interval. With one run there is no interval: NaN.

    Source: Efron & Tibshirani 1993, chapter 13.
    """
    if len(values) < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    draws = np.random.default_rng(0).integers(len(values), size=(num_resamples, len(values)))
    resampled = np.stack([statistic(values[draw]) for draw in draws])
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return low, high
