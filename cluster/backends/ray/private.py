"""Everything of Ray that is private to its own libraries, and that a new version may change.

What Ray has no public name for is asked through one function here; where a name vanishes, the
function says what that costs.
"""

import logging
import os
import signal
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import grpc
import ray
from ray._private import internal_api, parameter, ray_constants, services, utils, worker
from ray._private.node import Node
from ray._private.state import state
from ray._raylet import (  # type: ignore[attr-defined]
    AuthenticationTokenLoader,
    GcsClient,
    GcsLogSubscriber,
)
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.job_config import JobConfig

_LEFT_OUT = ("start_api_server", "start_monitor", "start_log_monitor")
"""Methods that start what a local Ray of ours has no use for: the server of the dashboard, which is
not shown; the autoscaler, where there is one machine; what carries the workers' output to the
driver, which is switched off. Each is a Python process, and ``ray.init`` waits for the first
(docs/decisions/0072-a-local-ray-starts-less.md)."""

_START_OF_A_PROCESS_S = 1.0


_STORE_TIMEOUT_S = 10.0

_ANY_CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""A call of Ray's that changes nothing and takes an empty request."""


class RayProcesses:
    """The processes that ``ray.init`` starts, each the leader of a process group of its own.

    Some supervisors send SIGTERM to a whole process group. Ray's processes would obey at once, and
    a driver whose raylet is gone is aborted by Ray's library before it can write a checkpoint.
    (Ray does the same for itself on Windows, and has no setting for it elsewhere.)
    """

    def __init__(self) -> None:
        self._groups: list[int] = []
        self._starting = threading.Lock()
        self._are_wanted = True

    @contextmanager
    def started_here(self) -> Iterator[None]:
        """Context in which the processes are started that belong to this object."""
        owner, original = self, services.ConsolePopen

        class LeaderOfItsGroup(original):  # type: ignore[misc, valid-type]  # Ray is untyped
            """What Ray starts its processes with."""

            def __init__(self, *arguments: Any, **options: Any) -> None:
                with owner._starting:
                    if not owner._are_wanted:
                        raise ChildProcessError("Ray was ended while it started")
                    super().__init__(*arguments, **options, process_group=0)
                    owner._groups.append(self.pid)

        with ExitStack() as replaced:
            enter = replaced.enter_context
            enter(_replaced(services, "ConsolePopen", replacement=LeaderOfItsGroup))
            # All servers on loopback, also where a program has imported Ray before us.
            enter(_replaced(ray_constants, "ENABLE_RAY_CLUSTER", replacement=False))
            for name in _LEFT_OUT:
                enter(_replaced(Node, name, replacement=_start_nothing))
            yield

    def kill(self) -> None:
        """Kill them all at once, with whatever they have started; none is started any more."""
        is_free = self._starting.acquire(timeout=_START_OF_A_PROCESS_S)
        self._are_wanted = False
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if is_free:
            self._starting.release()


@contextmanager
def _replaced(owner: Any, name: str, *, replacement: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _start_nothing(node: Node, **options: Any) -> None:
    """Stand in for a method of Ray's node that starts a process."""


# That it leaves SIGTERM alone, since it is started in a thread, is what we want.
logging.getLogger("ray._private.worker").addFilter(
    lambda record: "SIGTERM handler is not set" not in record.getMessage()
)
# Which package a job's client uploads, and that a log ended, we say ourselves or not at all.
for _name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "widgets.util"):
    logging.getLogger(f"ray.{_name}").setLevel(logging.WARNING)


class _FixedSearchPath(list[str]):
    """A search path that Ray does not extend by the driver's script and current directory.

    There they would come before what is installed: a module of the user's that is called like one
    of an installed package would be imported in its place.
    """

    def extend(self, paths: Iterable[str]) -> None:
        """Stay as it is."""


def job_config(search_path: list[str]) -> JobConfig:
    """Return what has Ray put these folders, and no others, before its workers' search path."""
    config = JobConfig()
    # Not as an argument: an empty one is replaced by a list that Ray extends.
    config._py_driver_sys_path = _FixedSearchPath(search_path)
    return config


class _EndingCoreWorker:
    """Ray's core worker, which does not hear of references that are dropped while it ends.

    Ray ends the whole process when another thread drops one at the wrong moment.
    """

    def __init__(self, core_worker: Any) -> None:
        self._core_worker = core_worker

    def __getattr__(self, name: str) -> Any:
        if name.startswith("remove_"):
            return lambda *arguments: None
        return getattr(self._core_worker, name)


def end_ray() -> None:
    """Disconnect from Ray, and end a local one; other threads may have references still."""
    process = worker.global_worker
    if hasattr(process, "core_worker"):
        process.core_worker = _EndingCoreWorker(process.core_worker)
    ray.shutdown()


def clusters_here() -> Collection[str]:
    """Return the addresses of the clusters of this machine, without local Rays.

    Those are on loopback. The one that `ray start` has noted last may have ended.
    """
    services.find_gcs_addresses.cache_clear()
    started = services.find_bootstrap_address(None)
    found = {address for address in services.find_gcs_addresses() if not _is_loopback(address)}
    return found | {started} if started else found


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host == "localhost" or host.startswith("127.") or host == "::1"


def admits_anyone(address: str, timeout_s: float) -> bool:
    """Return whether a cluster answers somebody who shows no token.

    Should the name of the call vanish, every cluster counts as one that asks for a token.
    """
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_ANY_CALL)(b"", timeout=timeout_s)
        except grpc.RpcError:
            return False
    return True


def cluster_metadata(address: str) -> bytes | None:
    """Return the JSON with the versions that a cluster runs. It may wait for minutes."""
    answer: bytes | None = GcsClient(address=address).internal_kv_get(
        b"CLUSTER_METADATA", namespace=b"cluster"
    )
    return answer


def dashboard_address() -> str | None:
    """Return HOST:PORT of the dashboard, which Ray tells only those whom it has let in."""
    address: str | None = getattr(worker._global_node, "webui_url", None)
    return address


def autoscaler_limits() -> Mapping[str, float]:
    """Return the resources of all nodes that an autoscaler could start; empty without one.

    Should the name vanish, no cluster has an autoscaler.
    """
    limits: Mapping[str, float] | None = getattr(
        state, "get_max_resources_from_cluster_config", dict
    )()
    return limits or {}


def draining_nodes() -> Collection[str]:
    """Return the ids of nodes that have been given notice, such as spot machines.

    Should the name vanish, such nodes are noticed when they are gone.
    """
    return frozenset(getattr(state, "get_draining_nodes", dict)())


def num_waiting_for_cpus(cpus: float) -> int | None:
    """Return how many requests for so many CPUs or more wait for a place; None if nobody knows.

    Not those that have their CPUs and whose process starts, which ``has_process`` cannot see.
    """
    try:
        status = get_cluster_status(worker.global_worker.gcs_client.address, _STORE_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whichever of Ray's
        return None
    shapes = [
        shape
        for demand in status.resource_demands.ray_task_actor_demand
        for shape in demand.bundles_by_count
    ]
    return int(sum(shape.count for shape in shapes if shape.bundle.get("CPU", 0.0) >= cpus))


def has_process(actor: Any) -> bool:
    """Return whether an actor was placed on a node, so that its constructor has begun.

    Should the name vanish, all count as placed: one loss too many in the metrics is better than a
    silent one.
    """
    look_up = getattr(state, "actor_table", lambda _: {"Pid": True})
    return bool(look_up(actor._actor_id.hex()).get("Pid"))


def spilled_bytes() -> int:
    """Return what the object stores of all nodes have spilled to disk since they began.

    Should the name vanish, nothing counts as spilled.

    Raises:
        Exception: A node does not answer.
    """
    ask = getattr(internal_api, "get_memory_info_reply", None)
    reply = ask(state, timeout_seconds=_STORE_TIMEOUT_S) if ask else None
    return int(reply.store_stats.spilled_bytes_total) if reply else 0


@contextmanager
def on_loopback_alone() -> Iterator[None]:
    """Context in which a Ray that is started here serves this machine alone.

    Ray does so by itself on Windows and macOS. Its processes inherit the variable; here it ends
    with the context, for `ray start` would refuse to join a cluster with it.
    """
    name, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    known = os.environ.get(name)
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[name]
        if known is not None:
            os.environ[name] = known


@contextmanager
def with_ports_of_its_own() -> Iterator[None]:
    """Context in which the agent of a Ray that is started here takes a free port.

    ``ray.init`` takes none. On the usual port, of which a machine has one, it would keep
    the agent of a cluster that is started later from ever taking a job.
    """
    usual = parameter.RayParams
    parameter.RayParams = partial(usual, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        parameter.RayParams = usual


def forget_token() -> None:
    """Have Ray read its token again: it keeps the one of this process's first cluster."""
    AuthenticationTokenLoader.instance().reset_cache()


def session_folder() -> str:
    """Return the folder of this node's Ray, below which it spills by default."""
    return str(worker._global_node.get_session_dir_path())


def available_memory_bytes() -> int:
    """Return the memory that is free on this machine, or within the limit of its container."""
    return int(utils.estimate_available_memory())


_LINES = "reinforce"
"""In the place of an actor's name, it tells our lines from those of Ray's log files."""

_PUBLISH_TIMEOUT_S = 1.0


def publish_line(line: str) -> None:
    """Send a line to those who listen to this job's logs; nothing of it is kept.

    Raises:
        Exception: The cluster does not take it; one of several types.
    """
    own = worker.global_worker
    own.gcs_client.publish_logs(
        {
            "job": own.current_job_id.hex(),
            "actor_name": _LINES,
            "lines": [line],
            **dict.fromkeys(("ip", "pid", "task_name"), ""),
            "is_err": False,
        },
        _PUBLISH_TIMEOUT_S,
    )


class PublishedLines:
    """What the processes of this job publish from now on."""

    def __init__(self) -> None:
        own = worker.global_worker
        self._job = own.current_job_id.hex()
        self._subscriber = GcsLogSubscriber(worker_id=own.worker_id, address=own.gcs_client.address)
        self._subscriber.subscribe()
        self.close = self._subscriber.close

    def next(self, timeout_s: float) -> list[str]:
        """Wait for lines and return them; empty if none came in time.

        Raises:
            Exception: The cluster does not answer.
        """
        message = self._subscriber.poll(timeout=timeout_s)
        is_ours = message and (message["job"], message["actor_name"]) == (self._job, _LINES)
        return list(message["lines"]) if is_ours else []


def job_client(address: str, timeouts_s: tuple[float, float]) -> Any:
    """Return Ray's client of a cluster's jobs, with a deadline for every request.

    Args:
        address: URL of the cluster's dashboard.
        timeouts_s: To connect, and to answer.

    Raises:
        Exception: The cluster does not answer, or refuses us; one of several types.
    """
    from ray.job_submission import JobSubmissionClient

    class ImpatientClient(JobSubmissionClient):  # type: ignore[misc]  # Ray is untyped
        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, timeout=timeouts_s, **options)

    return ImpatientClient(address)
