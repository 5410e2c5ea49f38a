"""Joining a Ray cluster, or starting a local one that leaves nothing behind."""

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from cluster.errors import ClusterUnreachableError, LocalRayError
from configs.config import Config

_CONNECT_TIMEOUT_S = 5.0
_LOCAL_OBJECT_STORE_BYTES = 512 << 20


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Connect to the cluster of ``cluster.address``, or start a local Ray; disconnect at the end.

    Raises:
        ClusterUnreachableError: There is no cluster, or it does not let us in.
    """
    if config.cluster.address is None:
        with _local_session(config):
            yield
    else:
        _join(config.cluster.address)
        try:
            yield
        finally:
            ray.shutdown()


def local_cpus() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def _local_session(config: Config) -> Iterator[None]:
    if "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    wanted = config.workers.num_workers
    # Logical CPUs: a local Ray is ours alone, and asking for more workers than cores is no error.
    cpus = local_cpus()
    if wanted != "auto":
        cpus = max(cpus, -int(-wanted * config.cluster.cpus_per_worker // 1))
    # Every server of a local Ray then listens on loopback only; elsewhere on all interfaces.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    # A short path: Ray puts Unix sockets below it.
    folder = tempfile.mkdtemp(prefix="reinforce-")
    try:
        try:
            _init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=cpus,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
                _temp_dir=folder,
            )
        except Exception as error:  # as many types as there are ways to fail
            raise LocalRayError(
                f"cannot start Ray on this machine: {type(error).__name__}: {error}\n"
                "Use --cluster.backend inline to train without it."
            ) from error
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _join(address: str) -> None:
    if address != "auto":
        host, separator, port = address.rpartition(":")
        if not (separator and host and port.isdigit()) or "://" in address:
            raise ClusterUnreachableError(
                f"cluster.address = {address!r} is not HOST:PORT or 'auto'; the port of a Ray "
                "cluster is usually 6379"
            )
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
        except (OSError, OverflowError) as error:
            raise ClusterUnreachableError(
                f"cluster.address = {address!r} does not answer ({error}); start a cluster there, "
                "or leave cluster.address out to run on this machine"
            ) from None
    try:
        _init(address=address)
    except Exception as error:  # Ray raises half a dozen types here, all meaning the same to us
        raise ClusterUnreachableError(
            f"cannot join the Ray cluster at cluster.address = {address!r}: "
            f"{type(error).__name__}: {error}\nThe cluster and this machine must share a token: "
            "`ray get-auth-token --generate`, then `RAY_AUTH_MODE=token ray start --head`; or, for "
            "a cluster without authentication, set RAY_AUTH_MODE=disabled here"
        ) from error


def _init(**arguments: Any) -> None:
    ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=True, **arguments)
