"""Workers that were let go while the run goes on, until they have closed their environments."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from reinforce.cluster.backends.ray.private import has_process

_CLOSE_S = 60.0
"""For one to close its environments; then it is killed."""


@dataclass(frozen=True)
class _Leaving:
    worker: int
    actor: Any
    until_s: float


class LeavingWorkers:
    """Has them close their environments, and tells when each has, or is gone."""

    def __init__(self, closed: Callable[[int], None]) -> None:
        self._closed = closed
        self._calls: dict[Any, _Leaving] = {}

    @property
    def references(self) -> list[Any]:
        """Return what comes when one has closed them."""
        return list(self._calls)

    def let_go(self, worker: int, actor: Any) -> None:
        """Have one leave, once it has played its ticket: without a handle it ends by itself."""
        if has_process(actor):
            until_s = time.monotonic() + _CLOSE_S
            self._calls[actor.close.remote()] = _Leaving(worker, actor, until_s)
        else:  # it waits for room, and would go on waiting
            ray.kill(actor)
            self._closed(worker)

    def look(self) -> None:
        """Take note of those that have closed their environments; end those that take too long."""
        if not self._calls:
            return
        over, _ = ray.wait(self.references, num_returns=len(self._calls), timeout=0)
        for reference, leaving in list(self._calls.items()):
            if reference not in over and time.monotonic() > leaving.until_s:
                ray.kill(leaving.actor)
            elif reference not in over:
                continue
            del self._calls[reference]
            self._closed(leaving.worker)
