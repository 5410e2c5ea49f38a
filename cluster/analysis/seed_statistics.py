"""Statistics over seeds: robust means and bootstrap intervals.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
arXiv:2108.13264. Runs of one configuration are one stratum of their stratified bootstrap.

``scipy.stats`` takes a second to import, so it is imported only for comparisons.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[..., NDArray[np.float64]]
"""A reduction of values over the ``axis`` of the runs, such as ``np.mean``."""


def interquartile_mean(values: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """Return the mean of the middle half of R runs, without the floor(R / 4) at each end.

    The definition of Agarwal et al., section 4.2. With fewer than four runs it is the mean.
    """
    from scipy.stats import trim_mean

    result: NDArray[np.float64] = trim_mean(values, 0.25, axis=axis)
    return result


STATISTICS: Mapping[str, tuple[str, Statistic]] = {
    "iqm": ("interquartile mean", interquartile_mean),
    "mean": ("mean", np.mean),
}
"""Full name and function of each statistic, by its short name."""

_MIN_SEEDS_TO_TRIM = 4
"""With fewer, the interquartile mean is the mean."""


def statistic_in_words(name: str, num_seeds: Iterable[int]) -> str:
    """Return the full name of a statistic of groups with so many seeds each."""
    is_mean = all(number < _MIN_SEEDS_TO_TRIM for number in num_seeds)
    return STATISTICS["mean" if is_mean else name][0]


MIN_SEEDS_FOR_INTERVAL = 5
"""With fewer seeds a bootstrap knows too little about others, so pictures show each seed."""


def performance_profile(
    scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return [R, n] whether each score is above each threshold; the mean over R is the profile.

    The score distribution of Agarwal et al., section 4.3.
    """
    return (scores[:, None] > thresholds).astype(np.float64)


def bootstrap_interval(
    values: NDArray[np.float64], statistic: Statistic, num_resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [...] and [...] the ends of a 95 % percentile interval of a statistic of [R, ...].

    Whole runs are drawn with replacement. The generator is seeded, so the same runs give the same
    interval. A single run gives NaN.
    """
    if len(values) < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), statistic, n_resamples=num_resamples, method="percentile", vectorized=True, rng=0
    )
    return found.confidence_interval.low, found.confidence_interval.high
