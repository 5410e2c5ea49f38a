"""Scales of the advantages: they set the size of a step, some at the price of bias."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import AdvantageScale

_DECAY = 0.9
"""Share of the running mean square that remains after a batch: a memory of about ten batches."""

_MAX_GROWTH = 25.0
"""Upper limit of a batch's mean square, as a multiple of the running one."""

_EPSILON = float(np.finfo(np.float64).eps)
"""Relative distance of neighbouring floats: an addition is off by at most half of it."""


def without_rounding(
    advantages: NDArray[np.float64],
    returns: NDArray[np.float64],
    episode_lengths: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return [B] the advantages, with those that may be mere rounding set to exactly 0.

    If all returns are equal there is nothing to learn; without the floor, a scale would turn the
    last bits of the differences into a full-sized push in a random direction. A return sums as many
    rewards as its episode has steps, and its baseline as many returns as there are episodes, so
    rounding errors are at most ``(steps + episodes) epsilon`` of the largest return, with epsilon
    2.2e-16.

    Args:
        advantages: [B] returns minus baseline.
        returns: [B] in the environment's unit.
        episode_lengths: [E] steps of each episode, with sum B.
    """
    num_terms = int(episode_lengths.max()) + len(episode_lengths)
    floor = num_terms * _EPSILON * np.abs(returns).max()
    return np.where(np.abs(advantages) <= floor, 0.0, advantages)


@dataclass(frozen=True)
class RunningScale:
    """Root mean square of the advantages of *earlier* batches.

    It is known before the batch is sampled, so dividing by it does not change the expected
    direction of the gradient; dividing by the batch's own root mean square does. The first batch
    has no predecessor and is divided by its own: undivided, its size would remain in the
    optimizer's moments, and the unit of the rewards would change what is learned.

    Attributes:
        mean_square: Exponential mean over batches, not yet corrected for its start at 0.
        weight: Sum of the weights of that mean, in [0, 1); 0 before the first signal.
    """

    mean_square: float = 0.0
    weight: float = 0.0

    @property
    def scale(self) -> float:
        """The divisor, > 0. Defined only after a batch with a signal."""
        return float(np.sqrt(self.mean_square / self.weight))

    def updated(self, advantages: NDArray[np.float64]) -> "RunningScale":
        """Return the scale for the next batch.

        A batch without a signal changes nothing.
        """
        if not advantages.any():
            return self
        mean_square = float(np.mean(advantages**2))
        if self.weight > 0:
            # A single batch with extreme importance weights must not silence all that follow.
            mean_square = min(mean_square, _MAX_GROWTH * self.mean_square / self.weight)
        return replace(
            self,
            mean_square=_DECAY * self.mean_square + (1 - _DECAY) * mean_square,
            weight=_DECAY * self.weight + (1 - _DECAY),
        )


def scaled_advantages(
    kind: AdvantageScale,
    advantages: NDArray[np.float64],
    episode_lengths: NDArray[np.int64],
    running: RunningScale,
) -> NDArray[np.float64]:
    """Return [B] the advantages on the scale that the gradient uses.

    Args:
        kind: ``none`` leaves them; ``running`` divides by ``running.scale``; ``batch`` by the root
            mean square of this batch (a positive factor, but one that depends on the batch: bias of
            order 1/E); ``episode`` standardises each episode by itself.
        advantages: [B] reward-to-go minus baseline.
        episode_lengths: [E] steps of each episode, with sum B.
        running: State of the running scale *before* this batch.
    """
    if kind == "none":
        return advantages
    if kind == "running" and running.weight > 0:
        return advantages / running.scale
    if kind in ("batch", "running"):
        scale = float(np.sqrt(np.mean(advantages**2)))
        return advantages / scale if scale > 0 else advantages
    return standardized_per_episode(advantages, episode_lengths)


def standardized_per_episode(
    values: NDArray[np.float64], episode_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return [B] each episode with mean 0 and (sample) deviation 1, as the article does.

    Biased: it removes everything that distinguishes one episode from another. An episode of one
    step, or one whose values differ only by rounding, becomes exactly 0; the article's listing
    makes the first NaN, and of the second NaN or a full-sized push.
    """
    starts = np.cumsum(episode_lengths) - episode_lengths
    means = np.add.reduceat(values, starts) / episode_lengths
    centred = values - np.repeat(means, episode_lengths)
    variances = np.add.reduceat(centred**2, starts) / np.maximum(episode_lengths - 1, 1)
    deviations = np.sqrt(variances)
    floors = episode_lengths * _EPSILON * np.maximum.reduceat(np.abs(values), starts)
    inverses = np.where(deviations > floors, 1.0 / np.maximum(deviations, 1e-300), 0.0)
    standardized: NDArray[np.float64] = centred * np.repeat(inverses, episode_lengths)
    return standardized
