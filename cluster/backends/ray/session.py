"""Joining a Ray cluster, or starting a local one that leaves nothing behind."""

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import ray

from reinforce.cluster import RAY_CAME_FIRST
from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.breakpoints import users_choice_kept
from reinforce.cluster.backends.ray.head import HeadWatch
from reinforce.cluster.backends.ray.local_folder import LocalFolder, local_folder
from reinforce.cluster.backends.ray.object_store import local_store
from reinforce.cluster.backends.ray.private import (
    RayProcesses,
    end_ray,
    forget_token,
    job_config,
    on_loopback_alone,
    with_ports_of_its_own,
)
from reinforce.cluster.backends.ray.probe import find_cluster
from reinforce.cluster.backends.ray.start_turns import turn_to_start
from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.errors import (
    ClusterUnreachableError,
    LocalRayError,
    UsageError,
)
from reinforce.cluster.self_command import self_search_path
from reinforce.cluster.sudden_end import cleaned_up_at_a_sudden_end
from reinforce.configs.config import Config
from reinforce.configs.errors import ReinforceError

_START_TIMEOUT_S = 120.0
_POLL_S = 0.2

_PAUSES_S = (5.0, 15.0)
"""Before a local Ray is started again that was too slow, as on a machine that others load."""

_SLOW_START_S = 20.0
"""A start that fails sooner has another reason, which stays. Ray's own patience is 30 s."""

_END_TIMEOUT_S = 60.0
_END_AFTER_A_SIGNAL_S = 3.5
"""From the signal on, within which Ray may still end as it likes to."""

_ENCODINGS = {"text": "TEXT", "json": "JSON"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_ONE_AT_A_TIME = threading.Lock()
"""A process has one connection to Ray; one that was given up may still be on its way."""


@contextmanager
def ray_session(config: Config, driver: Driver, batches_bytes: int = 0) -> Iterator["_Life"]:
    """Connect to the cluster of ``cluster.address``, or start a local Ray; disconnect at the end.

    Args:
        config: Which cluster.
        driver: The process that this runs in.
        batches_bytes: What is to lie in the object store of a local Ray.

    Yields:
        What to call while waiting: ``check``, which raises LocalRayError if the files of a local
        Ray were touched, and, before Ray is asked anything, ``check_head``.

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
    life = _Life(config, driver, batches_bytes)
    try:
        with driver.waiting("starting Ray" if life.is_local else "joining the cluster"):
            life.begin()
        yield life
    finally:
        with driver.waiting("stopping Ray" if life.is_local else "leaving the cluster"):
            life.end()


@contextmanager
def _own_token() -> Iterator[None]:
    """Context in which this process has a token, made for it unless the user has one."""
    is_made = "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ
    if is_made:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    forget_token()
    try:
        yield
    finally:
        if is_made:  # the next run of this process may be on a cluster, whose token is another
            del os.environ["RAY_AUTH_TOKEN"]
            forget_token()


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
        raise UsageError(f"REINFORCE_LOG_LEVEL={level} is not one of {', '.join(_LEVELS).lower()}")
    return ray.LoggingConfig(encoding=_ENCODINGS[encoding], log_level=level)


class _Life:
    """Ray in this process, from its start to its end, in a thread of its own.

    In a thread Ray cannot replace our handlers of signals, and we can look out for them and leave
    it: what is not wanted any more when it has started ends by itself. The thread lives as long as
    Ray, because the system kills the processes that it started when it ends.
    """

    _holder: ClassVar["_Life | None"] = None
    """The one that has ``_ONE_AT_A_TIME``."""

    def __init__(self, config: Config, driver: Driver, batches_bytes: int) -> None:
        self._config, self._driver, self._batches_bytes = config, driver, batches_bytes
        self._address = config.cluster.address
        self._logging = logging_config()
        self._is_up, self._may_end = threading.Event(), threading.Event()
        self._over: Future[None] | None = None
        self._deadline_s = math.inf
        self._processes = RayProcesses()
        self.is_local = self._address is None
        self._head: HeadWatch | None = None
        self.check: Callable[[], None] = lambda: None
        """Raises LocalRayError if the files of a local Ray were touched."""

    def check_head(self) -> None:
        """Wait for the head of a cluster to answer, or raise HeadLostError."""
        if self._head:
            self._head.look()

    def begin(self) -> None:
        """Wait for Ray, and obey signals meanwhile.

        Raises:
            ClusterUnreachableError, LocalRayError: It does not come. It may go on behind our back.
            InterruptedRunError: A signal came; Ray may go on starting, too.
        """
        interrupts = self._driver.interrupts
        if self._address:
            forget_token()
            find = partial(find_cluster, self._address)
            self._address = interrupts.call(find, obey_at_once=True)
            self._head = HeadWatch(self._address, self._driver.waiting, interrupts.check)
        self._over = start_in_background(self._live)
        try:
            while not (self._is_up.wait(_POLL_S) or self._over.done()):
                interrupts.check()
                self.check()
                if time.monotonic() > self._deadline_s:
                    late = TimeoutError(f"it has not answered for {_START_TIMEOUT_S:g} s")
                    raise self._failure(late)
        finally:
            interrupts.take_back()
        if not self._is_up.is_set():
            self._over.result()

    def end(self) -> None:
        """Wait until Ray has ended; not for one that has not started, nor long where it may hang.

        That is after a signal, and without the head of the cluster.
        """
        self._may_end.set()
        if not (self._over and self._is_up.is_set()):
            return
        is_lost = self._head and self._head.is_lost
        deadline_s = time.monotonic() + (_END_AFTER_A_SIGNAL_S if is_lost else _END_TIMEOUT_S)
        while not wait([self._over], _POLL_S).done:
            is_late = self._driver.interrupts.is_late(_END_AFTER_A_SIGNAL_S)
            if is_late or time.monotonic() > deadline_s:
                return
        self._over.result()

    def _live(self) -> None:
        self._wait_for_turn()
        try:
            with self._started_here() if self.is_local else self._joined():
                self._is_up.set()
                self._may_end.wait()
        finally:
            _Life._holder = None
            _ONE_AT_A_TIME.release()

    def _wait_for_turn(self) -> None:
        """Wait while another run of this process is on Ray, but not long once it should be gone."""
        late_s = 0.0
        while not _ONE_AT_A_TIME.acquire(timeout=_POLL_S):
            if self._may_end.is_set():
                raise LocalRayError("the run has ended before its turn on Ray")
            holder = _Life._holder
            late_s += _POLL_S if holder and holder._may_end.is_set() else 0.0
            if late_s > _START_TIMEOUT_S:
                raise LocalRayError(
                    f"Ray hangs in an earlier run of this process, which ended {late_s:.0f} s ago "
                    "or more: train in a new process, or with cluster.backend inline"
                )
        _Life._holder = self

    @contextmanager
    def _joined(self) -> Iterator[None]:
        # Nothing to clean up, but nothing to wait for either.
        with cleaned_up_at_a_sudden_end(lambda: None):
            try:
                self._init(address=self._address)
                joined = ray.get_runtime_context().gcs_address
                self._driver.tell(f"joined the Ray cluster at {joined}")
                yield
            except Exception as error:  # Ray raises half a dozen types
                raise self._failure(error) from error
            finally:
                end_ray()

    @contextmanager
    def _started_here(self) -> Iterator[None]:
        with local_folder(self._driver.tell) as folder, _own_token():
            self.check = folder.check

            def remove_at_once() -> None:
                self._processes.kill()
                folder.remove()

            with cleaned_up_at_a_sudden_end(remove_at_once):
                try:
                    with turn_to_start(folder.parent, self._may_end.wait, self._driver.tell):
                        self._start_patiently(folder)
                    folder.watch()
                    yield
                finally:
                    end_ray()
                    self._processes.kill()  # also those that were halted

    def _start_patiently(self, folder: LocalFolder) -> None:
        """Start a local Ray, and again if that took too long.

        Raises:
            LocalRayError: It does not start, or nobody wants it any more.
        """
        pauses = iter(_PAUSES_S)
        while True:
            if self._may_end.is_set():
                raise LocalRayError("nobody waits for Ray any more")
            began_s = time.monotonic()
            try:
                self._start_once(folder)
            except Exception as error:  # as many types as there are ways to fail
                took_s, pause_s = time.monotonic() - began_s, next(pauses, None)
                end_ray()
                self._processes.kill()
                self._deadline_s = math.inf
                if took_s < _SLOW_START_S or pause_s is None or self._may_end.is_set():
                    raise self._failure(error) from error
                self._driver.tell(
                    f"Ray did not start within {took_s:.0f} s, as happens on a busy machine; it is "
                    f"started again in {pause_s:.0f} s"
                )
                self._may_end.wait(pause_s)
            else:
                return

    def _start_once(self, folder: LocalFolder) -> None:
        self._processes = RayProcesses()
        store = local_store(self._batches_bytes, folder.path, self._driver.tell)
        with self._processes.started_here(), on_loopback_alone(), with_ports_of_its_own():
            learner = self._config.learner
            self._init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=len(os.sched_getaffinity(0)),
                # For several learners as many as Ray finds: there may be fewer.
                num_gpus=None if learner.gpus * learner.num_learners > 1 else learner.gpus,
                include_dashboard=False,
                **store,
                # Nobody reads them here, and any user of the machine could.
                _system_config={"enable_metrics_collection": False},
                _temp_dir=str(folder.path),
            )

    def _init(self, **arguments: Any) -> None:
        self._deadline_s = time.monotonic() + _START_TIMEOUT_S
        with users_choice_kept():
            ray.init(
                log_to_driver=False,
                logging_level="ERROR",
                logging_config=self._logging,
                job_config=job_config(self_search_path()),
                **arguments,
            )

    def _failure(self, error: Exception) -> ReinforceError:
        reason = f"{type(error).__name__}: {error}"
        if self.is_local:
            return LocalRayError(
                f"cannot start Ray on this machine: {reason}\n"
                "Use cluster.backend inline to train without it."
            )
        return ClusterUnreachableError(
            f"cannot join the Ray cluster at cluster.address = {self._address!r}: {reason}\n"
            "A driver needs a node of the cluster on its own machine: `ray start --address "
            "HOST:PORT --num-cpus 0` makes one here; `reinforce submit` needs none"
        )
