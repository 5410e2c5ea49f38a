"""What the noise of a gradient and the size of a step look like, at next to no cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.torch_distributions import TorchDistribution

MAX_KL_STATES = 1024
"""States, spread evenly over the batch, on which two versions are compared."""


def signal_and_noise(group_gradients: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return estimates of ``|E g|^2`` and of ``tr Var(g)`` for the mean of equal parts of a batch.

    With M parts, ``noise = sum |g_m - mean|^2 / (M (M - 1))`` and ``signal = |mean|^2 - noise``.
    Both are unbiased; the signal may come out below 0. Their ratio is not unbiased: average each
    over several batches before dividing. Below 1 an update is mostly noise; the ratio grows in
    proportion to the number of episodes. Baselines that average over the other episodes make the
    parts slightly dependent, an error of order 1/E.

    Args:
        group_gradients: M vectors [P], each the estimate of the whole gradient by one part.

    Returns:
        (NaN, NaN) for fewer than two parts.

    Source: McCandlish et al. (2018), arXiv:1812.06162, appendix A.
    """
    if len(group_gradients) < 2:
        return float("nan"), float("nan")
    gradients = np.stack(group_gradients)
    mean = gradients.mean(axis=0)
    count = len(gradients)
    noise = float(((gradients - mean) ** 2).sum()) / (count * (count - 1))
    return float(mean @ mean) - noise, noise


def kl_divergence(before: TorchDistribution, after: TorchDistribution) -> float:
    """Return the mean of KL(before || after) over states, in nats."""
    return max(0.0, float(after.kl_from(before).mean()))
