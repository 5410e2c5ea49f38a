"""Watches episodes while they are played: how long they last, and which to cut."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_PULSE_S = 0.25

OnPulse = Callable[[int, float], None]
"""Called a few times a second with the steps and seconds of the longest episode in play."""


class EpisodeWatch:
    """Counts the steps of the episode in each row (a lane with an episode in play).

    A check costs a tenth of a microsecond per step of the lanes, so every step is checked.

    Attributes:
        max_steps: Steps after which to cut an episode. A lower value applies from the next step.
        num_cut: Number of episodes cut.
    """

    def __init__(
        self,
        max_steps: float = float("inf"),
        on_pulse: OnPulse = lambda num_steps, seconds: None,
    ) -> None:
        self.max_steps = max_steps
        self.num_cut = 0
        self._on_pulse = on_pulse
        self._next_pulse_s = time.monotonic() + _PULSE_S
        self.begin(0)

    def begin(self, num_rows: int) -> None:
        """Begin ``num_rows`` episodes."""
        self._num_steps, self._oldest = 0, 0
        self._began_at = np.zeros(num_rows, np.int64)
        self._began_s = np.full(num_rows, time.monotonic())

    def begin_row(self, row: int) -> None:
        """Begin another episode in a row."""
        self._began_at[row], self._began_s[row] = self._num_steps, time.monotonic()
        self._oldest = int(self._began_at.min())

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Continue with these rows only."""
        self._began_at, self._began_s = self._began_at[rows], self._began_s[rows]
        self._oldest = int(self._began_at.min(initial=self._num_steps))

    def tick(self) -> bool:
        """Count a step of every row; return whether an episode has reached the limit.

        Raises:
            Exception: Whatever ``on_pulse`` raises to end the ticket.
        """
        self._num_steps += 1
        now_s = time.monotonic()
        if now_s >= self._next_pulse_s:
            self._next_pulse_s = now_s + _PULSE_S
            self._on_pulse(self._num_steps - self._oldest, now_s - float(self._began_s.min()))
        return self._num_steps - self._oldest >= self.max_steps

    def overlong_rows(self) -> list[int]:
        """Return the rows whose episodes have reached the limit."""
        rows: list[int] = np.flatnonzero(
            self._num_steps - self._began_at >= self.max_steps
        ).tolist()
        return rows
