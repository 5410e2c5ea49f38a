"""Joining a Ray cluster, or starting a local one that leaves nothing behind."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import ray

from reinforce.cluster.backends.ray.private import RayProcesses, job_config
from reinforce.cluster.backends.ray.probe import find_cluster
from reinforce.cluster.errors import (
    ClusterUnreachableError,
    InterruptedRunError,
    LocalRayError,
    UsageError,
)
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.self_command import self_search_path
from reinforce.configs.config import Config

_POLL_S = 0.2
_AFTER_A_SIGNAL_S = 8.0
"""What Ray may still take to start: ended halfway, it would leave more behind."""


class RayThread:
    """A thread that makes one call, and lives until it is let go.

    In a thread Ray cannot replace our handlers of signals, and we can look out for them. It has to
    live as long as the session, because the processes that it starts are killed by the system when
    it ends.
    """

    def __init__(self) -> None:
        self._outcome: Future[object] = Future()
        self._is_over = threading.Event()

    @property
    def has_returned(self) -> bool:
        """Whether the call is no longer going on, if it ever was."""
        return self._outcome.done()

    def call(self, start: Callable[[], object], interrupts: Interrupts, timeout_s: float) -> None:
        """Wait until a function has returned.

        Raises:
            TimeoutError: It has not. It may go on behind our back.
            InterruptedRunError: A signal came; if the function has not returned seconds later, it
                may go on behind our back, too.
            Exception: Its own.
        """
        threading.Thread(target=self._run, args=[start], name="ray", daemon=True).start()
        deadline_s, is_stopped = time.monotonic() + timeout_s, False
        while not wait([self._outcome], _POLL_S).done:
            now_s = time.monotonic()
            if interrupts.received and not is_stopped:
                deadline_s, is_stopped = min(deadline_s, now_s + _AFTER_A_SIGNAL_S), True
            if now_s > deadline_s:
                interrupts.check()
                raise TimeoutError(f"it has not answered for {timeout_s:g} s")
        interrupts.check()
        self._outcome.result()

    def let_go(self) -> None:
        """Have the thread end as soon as its call has."""
        self._is_over.set()

    def _run(self, start: Callable[[], object]) -> None:
        try:
            self._outcome.set_result(start())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._outcome.set_exception(error)
        self._is_over.wait()


_ENCODINGS = {"text": "TEXT", "json": "JSON"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


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


_START_TIMEOUT_S = 120.0
_LOCAL_OBJECT_STORE_BYTES = 512 << 20
_FOLDER_PREFIX = "reinforce-ray-"
_MAX_PARENT_CHARACTERS = 10
"""Of the folder that Ray's files lie in: the address of a Unix socket has at most 107 characters,
and what we and Ray put below it takes up to 96."""


@contextmanager
def ray_session(config: Config, interrupts: Interrupts) -> Iterator[None]:
    """Connect to the cluster of ``cluster.address``, or start a local Ray; disconnect at the end.

    Raises:
        ClusterUnreachableError: There is no cluster, or it does not let us in.
        LocalRayError: Ray does not start on this machine.
        InterruptedRunError: The user asked to stop.
    """
    address = config.cluster.address
    thread, processes = RayThread(), RayProcesses()
    with nullcontext("") if address else _local_folder() as folder:
        try:
            if address:
                _join(thread, interrupts, address)
            else:
                interrupts.when_abandoned(lambda: _remove_at_once(processes, folder))
                with processes.started_here():
                    _start(thread, interrupts, folder, config)
            yield
        finally:
            if thread.has_returned:
                ray.shutdown()
            else:  # Ray is still starting, and would wait for itself
                processes.kill()
            thread.let_go()
            interrupts.when_abandoned(lambda: None)


def num_learner_gpus(config: Config) -> int:
    """Return how many GPUs the learner takes, by Ray's count; a local Ray has as many, no more."""
    return int(config.learner.device == "cuda")


def _remove_at_once(processes: RayProcesses, folder: str) -> None:
    processes.kill()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _local_folder() -> Iterator[str]:
    """Yield a folder for Ray's files and remove it at the end, with those of drivers long dead."""
    parent = _short_temporary_folder()
    for stale in parent.glob(f"{_FOLDER_PREFIX}*"):
        pid = stale.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short_temporary_folder() -> Path:
    """Return the folder for temporary files, or /tmp where its path is too long for Ray's sockets.

    Schedulers of clusters give every job a long TMPDIR.
    """
    folder = tempfile.gettempdir()
    return Path(folder if len(folder) <= _MAX_PARENT_CHARACTERS else "/tmp")  # noqa: S108


def _start(thread: RayThread, interrupts: Interrupts, folder: str, config: Config) -> None:
    if "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        _init(
            thread,
            interrupts,
            address="local",  # whatever RAY_ADDRESS says
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=num_learner_gpus(config),
            include_dashboard=False,
            object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
    except (InterruptedRunError, UsageError):
        raise
    except Exception as error:  # as many types as there are ways to fail
        raise LocalRayError(
            f"cannot start Ray on this machine: {type(error).__name__}: {error}\n"
            "Use --cluster.backend inline to train without it."
        ) from error


def _join(thread: RayThread, interrupts: Interrupts, address: str) -> None:
    find_cluster(address)
    try:
        _init(thread, interrupts, address=address)
    except (InterruptedRunError, UsageError):
        raise
    except Exception as error:  # Ray raises half a dozen types here, all meaning the same to us
        raise ClusterUnreachableError(
            f"cannot join the Ray cluster at cluster.address = {address!r}: "
            f"{type(error).__name__}: {error}\nA driver needs a node of the cluster on its own "
            "machine: `ray start --address HOST:PORT --num-cpus 0` makes one here; `reinforce "
            "submit` needs none"
        ) from error


def _init(thread: RayThread, interrupts: Interrupts, **arguments: Any) -> None:
    """Call ``ray.init`` in the thread, and obey signals once it has returned."""
    start = partial(
        ray.init,
        log_to_driver=False,
        logging_level="ERROR",
        logging_config=logging_config(),
        job_config=job_config(self_search_path()),
        **arguments,
    )
    try:
        thread.call(start, interrupts, _START_TIMEOUT_S)
    finally:
        interrupts.take_back()
    interrupts.check()
