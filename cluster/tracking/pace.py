"""How often something is done in a run that may last seconds or days."""

from typing import NamedTuple


class Pace(NamedTuple):
    """An interval that grows with the time elapsed, within limits: dense at first, rarer later."""

    per_elapsed_time: int
    min_s: float
    max_s: float

    def interval_s(self, elapsed_s: float) -> float:
        """Return how long to wait, or to collect, at this time of the run."""
        return min(max(elapsed_s / self.per_elapsed_time, self.min_s), self.max_s)
