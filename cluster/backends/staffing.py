"""How many workers there should be: what was asked for, within what the cluster has."""

import math
import time
from collections.abc import Collection

import ray
from ray._private.state import state as ray_state

from cluster.control import Control
from configs.config import Config

_POLL_S = 2.0


class Staffing:
    """The number of workers to have now, and the nodes to stay away from.

    A number that the user sets is kept whatever the cluster looks like; Ray holds workers back
    until there is room, which is how an autoscaler learns what is wanted. ``auto`` follows the
    nodes as they come and go. Neither changes what is computed.
    """

    def __init__(self, config: Config, control: Control) -> None:
        self._config = config
        self._control = control
        # A local Ray is one node that stays, and ours alone.
        self._watches_nodes = config.cluster.address is not None
        self._looked_at_s = -math.inf
        self.target = 0
        self.leaving_nodes: Collection[str] = ()
        self.look_again()

    def look_again(self) -> bool:
        """Look at wishes and nodes, at most every two seconds; return whether something changed."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s < _POLL_S:
            return False
        self._looked_at_s = now_s
        before = self.target, self.leaving_nodes
        if self._watches_nodes:
            self.leaving_nodes = _draining_nodes()
        self.target = self._wanted()
        return before != (self.target, self.leaving_nodes)

    def _wanted(self) -> int:
        workers = self._config.workers
        wished = self._control.wishes.num_workers
        if wished is not None:
            return wished
        if workers.num_workers != "auto":
            return workers.num_workers
        room = max(workers.min_workers, self._room())
        return min(room, workers.max_workers or room)

    def _room(self) -> int:
        """Return how many workers the nodes that stay have CPUs for."""
        return sum(
            int(node["Resources"].get("CPU", 0.0) / self._config.cluster.cpus_per_worker)
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] not in self.leaving_nodes
        )


def _draining_nodes() -> Collection[str]:
    """Return the ids of nodes that have been given notice, such as spot machines.

    Ray offers this to its own libraries only; should it vanish, such nodes are noticed when they
    are gone.
    """
    get_draining_nodes = getattr(ray_state, "get_draining_nodes", dict)
    return frozenset(get_draining_nodes())
