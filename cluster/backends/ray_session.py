"""Joining a Ray cluster, or starting a local one that leaves nothing behind."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

import cluster
from cluster.backends.cluster_probe import find_cluster
from cluster.backends.ray_processes import RayProcesses
from cluster.backends.ray_thread import RayThread
from cluster.backends.worker_logs import logging_config
from cluster.errors import (
    ClusterUnreachableError,
    InterruptedRunError,
    LocalRayError,
    UsageError,
)
from cluster.interrupts import Interrupts
from configs.config import Config

_START_TIMEOUT_S = 120.0
_LOCAL_OBJECT_STORE_BYTES = 512 << 20
_FOLDER_PREFIX = "reinforce-ray-"
_MAX_PARENT_CHARACTERS = 10
"""Of the folder that Ray's files lie in: the address of a Unix socket has at most 107 characters,
and what we and Ray put below it takes up to 96."""

# That it leaves SIGTERM alone, since it is started in a thread, is what we want.
logging.getLogger("ray._private.worker").addFilter(
    lambda record: "SIGTERM handler is not set" not in record.getMessage()
)


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
        job_config=JobConfig(
            _py_driver_sys_path=_FixedSearchPath([str(Path(cluster.__file__).parent.parent)])
        ),
        **arguments,
    )
    try:
        thread.call(start, interrupts, _START_TIMEOUT_S)
    finally:
        interrupts.take_back()
    interrupts.check()


class _FixedSearchPath(list[str]):
    """What Ray puts in front of the search path of its workers: the place of our packages.

    Ray wants to extend it by the driver's script and current directory, and these would win over
    what is installed: a folder ``configs`` of the user's would be imported instead of ours.
    """

    def extend(self, paths: Iterable[str]) -> None:
        """Stay as it is."""
