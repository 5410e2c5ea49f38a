"""The size of the next batch: fixed, or grown until the gradient is more signal than noise."""

import math
from dataclasses import dataclass
from typing import Self

from configs.learning import LearnerConfig

_KEPT = 0.8
"""Share of the running means of signal and noise that survives an update."""

_GROWTH = 1.5


@dataclass(frozen=True)
class BatchSize:
    """Episodes of the batch that is drawn next. A function of earlier updates alone.

    So it is known before the batch is sampled, and the same for any number of workers.

    Attributes:
        episodes: Episodes of the next batch.
        signal: Exponential sum of the gradients' signals since the size last changed. (With
            lookahead 1 the first of them still comes from a batch of the size before.)
        noise: The same of their noises.
        weight: Weight of these sums, in [0, 1).
    """

    episodes: int
    signal: float = 0.0
    noise: float = 0.0
    weight: float = 0.0

    @classmethod
    def first(cls, config: LearnerConfig) -> Self:
        """Return the size of the first batch."""
        if config.episodes_per_update == "auto":
            return cls(config.episodes_bounds[0])
        return cls(config.episodes_per_update)

    def after_update(self, signal: float, noise: float, config: LearnerConfig) -> Self:
        """Return the size after an update whose gradient had this signal and noise; NaN if none.

        The ratio of the two grows in proportion to the number of episodes. While that of their
        running means, over some five updates, is below the target, the batch grows by half, up to
        its bound. No signal and no noise is a ratio of 0: all episodes were alike, and more are
        needed.
        """
        if config.episodes_per_update != "auto" or math.isnan(noise):
            return self
        signal = _KEPT * self.signal + (1 - _KEPT) * signal
        noise = _KEPT * self.noise + (1 - _KEPT) * noise
        weight = _KEPT * self.weight + (1 - _KEPT)
        enough = weight < 0.5 or (signal > 0 and signal >= config.gradient_snr_target * noise)
        if enough or self.episodes >= config.episodes_bounds[1]:
            return type(self)(self.episodes, signal, noise, weight)
        return type(self)(min(int(self.episodes * _GROWTH) + 1, config.episodes_bounds[1]))
