"""The pause before a lost worker is replaced: ever longer while they are lost one after another."""

_FIRST_S = 0.5
_LONGEST_S = 60.0
_MOST_DOUBLINGS = 7


class StartPause:
    """Grows with each worker in a row that was lost before any had done something."""

    def __init__(self) -> None:
        self._num_losses = 0
        self.ends_at_s = float("-inf")
        """When workers may be started again."""

    def lengthen(self, now_s: float) -> None:
        """Note that a worker was lost which had done nothing."""
        self.ends_at_s = now_s + min(_FIRST_S * 2**self._num_losses, _LONGEST_S)
        self._num_losses = min(self._num_losses + 1, _MOST_DOUBLINGS)

    def forget(self) -> None:
        """Note that a worker has done something: the next pause is the shortest again."""
        self._num_losses = 0
