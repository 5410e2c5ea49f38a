"""The object store, in which batches wait for the learner: its size on a local Ray; what it spills.

docs/decisions/0098-the-object-store.md says why it is so large.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from shutil import disk_usage
from typing import Any

from ray.exceptions import OutOfDiskError, RayError

from reinforce.cluster.backends.ray.private import (
    available_memory_bytes,
    session_folder,
    spilled_bytes,
)
from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.errors import StorageError
from reinforce.configs.config import Config
from reinforce.workers.environment import EnvironmentSpec, registered_limit

_USUAL_BYTES = 512 << 20
_LEAST_BYTES = 80 << 20
"""Ray refuses less than 75 MiB."""

_ASSUMED_STEPS = 1000
"""Length that an episode is taken to have where its environment sets no time limit."""

_BYTES_BESIDE_OBSERVATION = 20
"""A step's reward, the log-probability of its action, and a small action."""

_ROOM = 1.25
"""For weights, states of the learner, and what lies between objects."""

_SHARE_OF_SHARED_MEMORY, _SHARE_OF_MEMORY = 0.8, 0.5
"""Shares of what is free: pages of /dev/shm are memory, which workers and learner need, too."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Ray's choice, and only looked at

_LOOK_EVERY_S = 2.0

_LESS = (
    "What helps is more room in memory: in /dev/shm (in a container, shm_size), on a cluster with "
    "`ray start --object-store-memory`; or a new run with fewer learner.episodes_per_update"
)


def batches_bytes(config: Config, spec: EnvironmentSpec) -> int:
    """Return what the batches that are alive at the same time take, if all episodes are long."""
    limit = config.environment.max_episode_steps or registered_limit(config.environment)
    episodes = config.learner.episodes_per_update
    if episodes == "auto":
        episodes = config.learner.episodes_bounds[1]
    step_bytes = spec.observation.empty(1).nbytes + _BYTES_BESIDE_OBSERVATION
    # One is learned from while the next is played, or two with lookahead.
    num_batches = 2 + config.cluster.lookahead
    # And the shares that the learner sends to others.
    num_batches += config.learner.num_learners > 1
    return num_batches * episodes * (limit or _ASSUMED_STEPS) * step_bytes


def store_bytes(batches: int, shared_memory: int, memory: int) -> int | None:
    """Return the size of the object store of a local Ray; None: /dev/shm has no room for one.

    Its pages are taken when they are first written, so that what is not needed costs nothing.

    Args:
        batches: What is to lie in it, in bytes.
        shared_memory: Free in /dev/shm, in bytes.
        memory: Free on this machine, or in its container, in bytes.
    """
    room = _SHARE_OF_SHARED_MEMORY * shared_memory
    if room < _LEAST_BYTES:
        return None
    wanted = min(max(_USUAL_BYTES, _ROOM * batches), room, _SHARE_OF_MEMORY * memory)
    return int(max(wanted, _LEAST_BYTES))


def local_store(batches: int, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what ``ray.init`` is to know of the object store of a local Ray: size, and place.

    Args:
        batches: What is to lie in it, in bytes.
        folder: Where that Ray has its files, and its objects if shared memory has no room.
        tell: Called with a sentence in that case.
    """
    shared_memory = disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else 0
    size = store_bytes(batches, shared_memory, available_memory_bytes())
    if size is not None:
        return {"object_store_memory": size}
    tell(
        f"{_SHARED_MEMORY} has {shared_memory >> 20} MiB free, too little for Ray's objects: they "
        f"lie in {folder}, which may be slow; in a container, raise its shm_size (docker run "
        "--shm-size 1g)"
    )
    return {"object_store_memory": _USUAL_BYTES, "_plasma_directory": str(folder)}


def require_disk(error: RayError) -> None:
    """Raise if an error of Ray's means that there is no disk to spill to.

    Raises:
        StorageError: It does.
    """
    if isinstance(error, OutOfDiskError) or isinstance(
        getattr(error, "cause", None), OutOfDiskError
    ):
        folder = session_folder()
        raise StorageError(
            "the object store is full, and so is the disk that it spills to: of "
            f"{folder} on this machine, {disk_usage(folder).free >> 20} MiB are free (Ray takes "
            "none of the last 5 %). Make room there, or have Ray use another folder (TMPDIR; on a "
            f"cluster `ray start --temp-dir`). {_LESS}"
        ) from error


class Spilling:
    """Counts what the object stores of all nodes spill to disk, and says when it begins.

    Ray is asked in a thread of its own: it asks every node, and one of them may be gone.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._answer: Future[int] | None = None
        self._asked_at_s = 0.0
        self._before: int | None = None
        self.num_bytes = 0
        """Since this run began; where others share a cluster, theirs are among them."""

    def look(self) -> None:
        """Take in an answer, if there is one, and ask again, at most every two seconds."""
        if self._answer and self._answer.done():
            self._take_in(self._answer)
            self._answer = None
        if self._answer is None and time.monotonic() - self._asked_at_s >= _LOOK_EVERY_S:
            self._asked_at_s = time.monotonic()
            self._answer = start_in_background(spilled_bytes)

    def _take_in(self, answer: "Future[int]") -> None:
        if answer.exception():  # a node is gone, or too busy to answer
            return
        if self._before is None:
            self._before = answer.result()
        is_first = not self.num_bytes
        # Not less than before: the count of a node that is gone goes with it.
        self.num_bytes = max(self.num_bytes, answer.result() - self._before)
        if is_first and self.num_bytes:
            self._tell(
                f"the object store is full: {self.num_bytes >> 20} MiB were spilled to disk, which "
                f"is slow (cluster/spilled_bytes counts them). The result is the same. {_LESS}"
            )
