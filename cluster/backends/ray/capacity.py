"""Room on a cluster for workers and learner, and how many workers there should be."""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import ray

from reinforce.cluster.backends.ray.private import (
    autoscaler_limits,
    draining_nodes,
    num_waiting_for_cpus,
)
from reinforce.cluster.backends.ray.sharing import SharedCluster
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_requests import MAX_WORKERS
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted

_POLL_S = 2.0


@dataclass(frozen=True)
class Capacity:
    """CPUs and GPUs of a cluster.

    Attributes:
        node_cpus: Of each node that is alive.
        autoscaler_cpus: Of all nodes that an autoscaler could start; None without one.
        node_gpus: Of each node that is alive.
        autoscaler_gpus: Of all nodes that an autoscaler could start.
    """

    node_cpus: tuple[float, ...]
    autoscaler_cpus: float | None
    node_gpus: tuple[float, ...] = ()
    autoscaler_gpus: float = 0.0

    @classmethod
    def of_the_cluster(cls) -> "Capacity":
        """Return that of the cluster that this process has joined."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        limits = autoscaler_limits()
        return cls(
            tuple(node.get("CPU", 0.0) for node in nodes),
            limits.get("CPU"),
            tuple(node.get("GPU", 0.0) for node in nodes),
            limits.get("GPU", 0.0),
        )

    def num_workers(self, cpus_per_worker: float) -> int:
        """Return how many workers fit on the nodes that are there."""
        return sum(int(cpus / cpus_per_worker) for cpus in self.node_cpus)

    def shortage(self, config: Config) -> str | None:
        """Return what keeps every worker from ever being placed, or None."""
        cpus = config.cluster.cpus_per_worker
        if self.num_workers(cpus) or self.autoscaler_cpus:
            return None
        largest = max(self.node_cpus, default=0.0)
        return (
            f"no worker fits: cluster.cpus_per_worker = {cpus:g}, the largest of "
            f"{counted(len(self.node_cpus), 'node')} has {_in_cpus(largest)}, and there is "
            "no autoscaler; lower cluster.cpus_per_worker, or add a node with `ray start --address "
            "HOST:PORT`"
        )

    def gpu_shortage(self, config: Config) -> str | None:
        """Return what keeps the learner from ever being placed, or None."""
        if config.learner.device == "cpu" or max(self.node_gpus, default=0.0) >= 1:
            return None
        if self.autoscaler_gpus:
            return None
        return (
            "the learner fits nowhere: learner.device = 'cuda', none of "
            f"{counted(len(self.node_cpus), 'node')} has a GPU, and there is no autoscaler that "
            "starts one; "
            "use learner.device cpu (a new run can), or add a node with a GPU with `ray start "
            "--address HOST:PORT`"
        )

    def shortfall(self, config: Config) -> str | None:
        """Return why fewer workers than asked for will play, or None."""
        wanted, room = config.workers.num_workers, self.num_workers(config.cluster.cpus_per_worker)
        if wanted == "auto" or wanted <= room or self.autoscaler_cpus:
            return None
        return (
            f"workers.num_workers = {wanted}, and the cluster has CPUs for {room} and no "
            "autoscaler; the rest waits for nodes that are added. The result is the same; `auto` "
            "takes what there is"
        )


def require_room(config: Config) -> None:
    """Raise if no worker, or the learner, can ever be placed.

    Raises:
        UsageError: There is no node for it, and no autoscaler.
    """
    capacity = Capacity.of_the_cluster()
    shortage = capacity.shortage(config) or capacity.gpu_shortage(config)
    if shortage:
        raise UsageError(shortage)


class RoomWait:
    """Waits for room that others have taken, up to ``cluster.room_timeout_s``.

    Attributes:
        words: What is asked for, and how much of it is free; "" while nothing waits.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s, self._since_s = timeout_s or math.inf, math.inf
        self.words = ""

    def note(self, words: str) -> str | None:
        """Take note that there is no room now; return what to say if that has lasted too long."""
        now_s = time.monotonic()
        self._since_s, self.words = min(self._since_s, now_s), f"no room yet, {words}"
        if now_s - self._since_s < self._timeout_s:
            return None
        return f"no room for {self._timeout_s:g} s (cluster.room_timeout_s): {words}"

    def forget(self) -> None:
        """Take note that nothing waits."""
        self._since_s, self.words = math.inf, ""


def room_in_words(num_workers: int, config: Config) -> str:
    """Return how many CPUs the workers lack, of so many without a process, and how many are free.

    Empty if all have their CPUs.
    """
    cpus = config.cluster.cpus_per_worker
    waiting = num_waiting_for_cpus(cpus)
    asked = (num_workers if waiting is None else min(waiting, num_workers)) * cpus
    free = ray.available_resources().get("CPU", 0.0)
    return f"{_in_cpus(asked)} asked, {free:g} free" if asked else ""


def _in_cpus(number: float) -> str:
    return f"{number:g} CPU{'s' * (number != 1)}"


class WorkerTarget:
    """The number of workers to have now, and the nodes to stay away from.

    A number that the user sets is kept whatever the cluster looks like; Ray holds workers back
    until there is room, which is how an autoscaler learns what is wanted. ``auto`` follows the
    nodes as they come and go, and leaves other runs their part. Neither changes what is computed.
    """

    def __init__(
        self,
        config: Config,
        requested: Callable[[], int | None],
        tell: Callable[[str], None] = lambda sentence: None,
        check_head: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what was configured, what asks how many workers the user wants by now, and the user.

        Ray is joined already. ``check_head`` is called before it is asked, and may raise.
        """
        self._config = config
        self._requested, self._check_head = requested, check_head
        # A local Ray is one node that stays, and ours alone.
        self._shared = (
            SharedCluster(config.cluster.priority, config.cluster.cpus_per_worker, tell)
            if config.cluster.address
            else None
        )
        self._looked_at_s = -math.inf
        if (number := requested()) not in (None, config.workers.num_workers):
            tell(f"{counted(number, 'worker')}, as `reinforce scale` asked")
        self.target = 0
        self.leaving_nodes: Collection[str] = ()
        self.look_again()

    def look_again(self) -> bool:
        """Look at requests and nodes, at most every two seconds; return whether they changed."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s < _POLL_S:
            return False
        self._looked_at_s = now_s
        self._check_head()
        before = self.target, self.leaving_nodes
        if self._shared:
            self.leaving_nodes = draining_nodes()
        self.target = self._wanted()
        return before != (self.target, self.leaving_nodes)

    def _wanted(self) -> int:
        workers, cpus = self._config.workers, self._cpus_of_nodes()
        number = self._requested() or workers.num_workers
        room = sum(int(each / self._config.cluster.cpus_per_worker) for each in cpus)
        if number == "auto":
            fewest, most = workers.min_workers, workers.max_workers or MAX_WORKERS
        else:
            fewest = most = number
        if self._shared:
            room = min(room, self._shared.part(fewest, most, tuple(cpus)))
        return min(max(room, fewest), most)

    def _cpus_of_nodes(self) -> list[float]:
        """Return the CPUs of each node that stays."""
        return [
            node["Resources"].get("CPU", 0.0)
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] not in self.leaving_nodes
        ]
