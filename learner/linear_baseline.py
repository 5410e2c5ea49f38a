"""A linear baseline on time and observation, fitted on the batch *before* the one it is used on."""

import numpy as np
from numpy.typing import NDArray

from learner.returns import step_indices
from learner.trajectories import Trajectories

_RIDGE = 1e-5
_OBSERVATION_LIMIT = 10.0
_STEPS_PER_UNIT = 100.0


class LinearBaseline:
    """``b(s, t) = coefficients . features(s, t)``; 0 before the first fit.

    Unbiased, because the coefficients are known before the batch is played. Fitted by least squares
    with a ridge of 1e-5 per step on [o, o^2, t, t^2, t^3, 1], with o clipped to +-10 and t in units
    of 100 steps.

    Source: Duan et al. (2016), arXiv:1604.06778, for the features.
    """

    def __init__(self) -> None:
        self.coefficients: NDArray[np.float64] = np.zeros(0)

    def values(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [B] the baseline of each step."""
        if len(self.coefficients) == 0:
            return np.zeros(batch.num_steps)
        values: NDArray[np.float64] = _features(batch) @ self.coefficients
        return values

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Fit the coefficients to [B] rewards-to-go, for batches to come."""
        features = _features(batch)
        gram = features.T @ features + _RIDGE * batch.num_steps * np.eye(features.shape[1])
        self.coefficients = np.linalg.solve(gram, features.T @ targets).astype(np.float64)


def _features(batch: Trajectories) -> NDArray[np.float64]:
    flat = batch.observations.reshape(batch.num_steps, -1).astype(np.float64)
    clipped = np.clip(flat, -_OBSERVATION_LIMIT, _OBSERVATION_LIMIT)
    time = step_indices(batch.episode_lengths)[:, None] / _STEPS_PER_UNIT
    return np.hstack([clipped, clipped**2, time, time**2, time**3, np.ones_like(time)])
