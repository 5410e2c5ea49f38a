"""Joining a Ray cluster, or starting a local one that leaves nothing behind."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import ray

from reinforce.cluster import RAY_CAME_FIRST
from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.breakpoints import users_choice_kept
from reinforce.cluster.backends.ray.local_folder import (
    LocalFolder,
    local_folder,
    require_room,
)
from reinforce.cluster.backends.ray.object_store import local_store
from reinforce.cluster.backends.ray.private import RayProcesses, job_config
from reinforce.cluster.backends.ray.probe import find_cluster
from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.errors import (
    ClusterUnreachableError,
    InterruptedRunError,
    LocalRayError,
    UsageError,
)
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.self_command import self_search_path
from reinforce.configs.config import Config

_START_TIMEOUT_S = 120.0
_POLL_S = 0.2
_AFTER_A_SIGNAL_S = 8.0
"""What Ray may still take to start: ended halfway, it would leave more behind."""

_ENCODINGS = {"text": "TEXT", "json": "JSON"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@contextmanager
def ray_session(
    config: Config, driver: Driver, batches_bytes: int = 0
) -> Iterator[Callable[[], None]]:
    """Connect to the cluster of ``cluster.address``, or start a local Ray; disconnect at the end.

    Args:
        config: Which cluster.
        driver: The process that this runs in.
        batches_bytes: What is to lie in the object store of a local Ray.

    Yields:
        A check to call while waiting: it raises LocalRayError if the files of a local Ray were
        touched.

    Raises:
        ClusterUnreachableError: There is no cluster, or it does not let us in.
        LocalRayError: Ray does not start on this machine.
        InterruptedRunError: The user asked to stop.
        UsageError: Ray was imported too early.
    """
    if RAY_CAME_FIRST:
        raise UsageError(
            "Ray was imported before reinforce, and so does not show the token that clusters ask "
            "for: import reinforce first, or set RAY_AUTH_MODE=token in the environment"
        )
    address, processes, interrupts = config.cluster.address, RayProcesses(), driver.interrupts
    with nullcontext() if address else local_folder(driver.tell) as folder:

        def remove_at_once() -> None:
            processes.kill()
            if folder:
                folder.remove()

        start = _Start(interrupts, folder.check if folder else lambda: None)
        try:
            if folder:
                interrupts.when_abandoned(remove_at_once)
                with _own_token():
                    with processes.started_here():
                        store = local_store(batches_bytes, folder.path, driver.tell)
                        _start_locally(start, folder, config, store)
                    yield folder.check
            else:
                _join(start, str(address))
                joined = ray.get_runtime_context().gcs_address
                driver.tell(f"joined the Ray cluster at {joined}")
                yield lambda: None
        finally:
            if start.is_over:
                ray.shutdown()
            else:  # Ray is still starting, and would wait for itself, or is not ours to end
                processes.kill()
            start.let_thread_end()
            interrupts.when_abandoned(lambda: None)


@contextmanager
def _own_token() -> Iterator[None]:
    """Context in which this process has a token, made for it unless the user has one."""
    is_made = "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ
    if is_made:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        if is_made:  # the next run of this process may be on a cluster, whose token is another
            del os.environ["RAY_AUTH_TOKEN"]


def num_learner_gpus(config: Config) -> int:
    """Return how many GPUs the learner takes, by Ray's count; a local Ray has as many, no more."""
    return int(config.learner.device == "cuda")


def logging_config() -> ray.LoggingConfig:
    """Return what ``REINFORCE_LOG_FORMAT`` and ``REINFORCE_LOG_LEVEL`` ask for.

    Ray adds the ids of job, node, worker and actor to each line.

    Raises:
        UsageError: One of them holds another word.
    """
    encoding = os.environ.get("REINFORCE_LOG_FORMAT", "text").lower()
    level = os.environ.get("REINFORCE_LOG_LEVEL", "warning").upper()
    if encoding not in _ENCODINGS:
        raise UsageError(f"REINFORCE_LOG_FORMAT={encoding} is neither text nor json")
    if level not in _LEVELS:
        raise UsageError(f"REINFORCE_LOG_LEVEL={level} is none of {', '.join(_LEVELS).lower()}")
    return ray.LoggingConfig(encoding=_ENCODINGS[encoding], log_level=level)


class _Start:
    """One call of ``ray.init``, in a thread that lives as long as the session.

    In a thread Ray cannot replace our handlers of signals, and we can look out for them. The thread
    has to live on because the system kills the processes that it started when it ends.
    """

    def __init__(self, interrupts: Interrupts, check: Callable[[], None]) -> None:
        self._interrupts, self._check = interrupts, check
        self._outcome: Future[Any] | None = None
        self._thread_may_end = threading.Event()
        self.let_thread_end = self._thread_may_end.set

    @property
    def is_over(self) -> bool:
        """Whether the call has come to its end; not if it was never made."""
        return self._outcome is not None and self._outcome.done()

    def init(self, **arguments: Any) -> None:
        """Wait for Ray, and obey signals once it is there, or at the latest some seconds later.

        Raises:
            TimeoutError: It takes too long. It may go on behind our back.
            InterruptedRunError: A signal came; Ray may go on starting, too.
            Exception: Ray's own.
        """
        function = partial(
            ray.init,
            log_to_driver=False,
            logging_level="ERROR",
            logging_config=logging_config(),
            job_config=job_config(self_search_path()),
            **arguments,
        )
        try:
            with users_choice_kept():
                self._outcome = start_in_background(function, self._thread_may_end.wait)
                self._wait_for(self._outcome)
        finally:
            self._interrupts.take_back()
        self._interrupts.check()
        self._outcome.result()

    def _wait_for(self, outcome: "Future[Any]") -> None:
        deadline_s, is_stopped = time.monotonic() + _START_TIMEOUT_S, False
        while not wait([outcome], _POLL_S).done:
            self._check()
            now_s = time.monotonic()
            if self._interrupts.received and not is_stopped:
                deadline_s, is_stopped = min(deadline_s, now_s + _AFTER_A_SIGNAL_S), True
            if now_s > deadline_s:
                self._interrupts.check()
                raise TimeoutError(f"it has not answered for {_START_TIMEOUT_S:g} s")


def _start_locally(
    start: _Start, folder: LocalFolder, config: Config, store: dict[str, Any]
) -> None:
    try:
        start.init(
            address="local",  # whatever RAY_ADDRESS says
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=num_learner_gpus(config),
            include_dashboard=False,
            **store,
            # Nobody reads them here, and any user of the machine could.
            _system_config={"enable_metrics_collection": False},
            _temp_dir=str(folder.path),
        )
        folder.watch()
    except (InterruptedRunError, LocalRayError, UsageError):
        raise
    except Exception as error:  # as many types as there are ways to fail
        require_room(folder.path)  # else that is why
        raise LocalRayError(
            f"cannot start Ray on this machine: {type(error).__name__}: {error}\n"
            "Use cluster.backend inline to train without it."
        ) from error


def _join(start: _Start, address: str) -> None:
    find_cluster(address)
    try:
        start.init(address=address)
    except (InterruptedRunError, UsageError):
        raise
    except Exception as error:  # Ray raises half a dozen types here, all meaning the same to us
        raise ClusterUnreachableError(
            f"cannot join the Ray cluster at cluster.address = {address!r}: "
            f"{type(error).__name__}: {error}\nA driver needs a node of the cluster on its own "
            "machine: `ray start --address HOST:PORT --num-cpus 0` makes one here; `reinforce "
            "submit` needs none"
        ) from error
