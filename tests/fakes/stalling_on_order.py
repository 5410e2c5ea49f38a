"""A simulator that stalls, or ends its process, once a file has the order for it."""

import os
from pathlib import Path

import stalling_simulator


class Simulator(stalling_simulator.Simulator):
    """Looks for the file ``stall`` in TMPDIR at each step."""

    def __init__(self, *, dies=False, when_interrupted="stops", render_mode=None):
        super().__init__(when_interrupted, render_mode)
        self._dies = dies

    def step(self, action):
        if (Path(os.environ["TMPDIR"]) / "stall").exists():
            if self._dies:
                os._exit(1)
            self._stall()
        return super().step(action)
