"""The size of the next batch: fixed, or grown until the gradient is more signal than noise."""

import math
from dataclasses import dataclass
from typing import Self

from configs.learning import LearnerConfig

_KEPT = 0.8
"""Share of the running mean of the signal-to-noise ratio that survives an update."""

_GROWTH = 1.5
_MAX_RATIO_TO_TARGET = 10.0


@dataclass(frozen=True)
class BatchSize:
    """Episodes of the batch that is drawn next. A function of earlier updates alone.

    So it is known before the batch is sampled, and the same for any number of workers.

    Attributes:
        episodes: Episodes of the next batch.
        snr_sum: Exponential sum of the signal-to-noise ratios since the size last changed.
        snr_weight: Weight of that sum, in [0, 1).
    """

    episodes: int
    snr_sum: float = 0.0
    snr_weight: float = 0.0

    @classmethod
    def first(cls, config: LearnerConfig) -> Self:
        """Return the size of the first batch."""
        if config.episodes_per_update == "auto":
            return cls(config.episodes_bounds[0])
        return cls(config.episodes_per_update)

    def after_update(self, gradient_snr: float, config: LearnerConfig) -> Self:
        """Return the size after an update with this ratio; NaN if there was none.

        The ratio grows in proportion to the number of episodes. While its running mean, over some
        five updates, is below the target, the batch grows by half, up to its bound.
        """
        if config.episodes_per_update != "auto" or math.isnan(gradient_snr):
            return self
        # One batch without noise must not outweigh all that follow.
        limited = min(gradient_snr, _MAX_RATIO_TO_TARGET * config.gradient_snr_target)
        snr_sum = _KEPT * self.snr_sum + (1 - _KEPT) * limited
        weight = _KEPT * self.snr_weight + (1 - _KEPT)
        enough = weight < 0.5 or snr_sum / weight >= config.gradient_snr_target
        if enough or self.episodes >= config.episodes_bounds[1]:
            return type(self)(self.episodes, snr_sum, weight)
        return type(self)(min(int(self.episodes * _GROWTH) + 1, config.episodes_bounds[1]))
