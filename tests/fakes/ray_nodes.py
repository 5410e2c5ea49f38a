"""A Ray cluster of several nodes on this machine, started as a user starts one, with a token."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from free_port import free_port

_BIN = Path(sys.executable).parent
_START_TIMEOUT_S = 180

QUICK_METRICS = {"RAY_metrics_report_interval_ms": "1000"}
"""Instead of ten seconds. A driver must be given the same: a node forgets a gauge that it was not
told again within two of its own intervals."""
_GOING_ON = {"PENDING", "RUNNING"}


@dataclass(frozen=True)
class RayNodes:
    """What a user knows of a cluster."""

    folder: Path
    address: str
    dashboard: str
    token_file: Path
    home: Path
    agent_ports: tuple[int, ...]
    metrics_ports: tuple[int, ...]
    metrics_settings: Mapping[str, str]
    options: list[tuple[str, ...]] = field(default_factory=list)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def token(self) -> str:
        return self.token_file.read_text()

    def ask(self, path: str) -> str:
        """What the dashboard answers to whom the token lets in."""
        request = urllib.request.Request(
            f"{self.dashboard}{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def metrics(self) -> str:
        """What Prometheus reads from all nodes."""
        texts = []
        for port in self.metrics_ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                texts.append(answer.read().decode())
        return "\n".join(texts)

    def logs(self, pattern: str) -> dict[Path, str]:
        """What processes of these names have written on all nodes."""
        files = self.folder.glob(f"*/session_*/logs/**/{pattern}")
        return {path: path.read_text(errors="replace") for path in files if path.is_file()}

    def wait_for_jobs(self) -> None:
        """Wait until no job is going on."""

        def look() -> None:
            if {job["status"] for job in json.loads(self.ask("/api/jobs/"))} & _GOING_ON:
                raise OSError("a job is going on")

        _wait(look)

    def lose_power(self) -> None:
        """End all processes of all nodes before one of them can tell of the others' end."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)

    def end(self) -> None:
        """End all nodes, and let them tidy up."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


@contextmanager
def ray_nodes(
    folder: Path, *, workers: int = 2, cpus: int = 1, metrics: Mapping[str, str] = QUICK_METRICS
) -> Iterator[RayNodes]:
    """A head without CPUs, where the learner lives, and nodes with so many CPUs each.

    Each has a folder of its own, as on machines of their own: nodes that share one overwrite each
    other's copy of a job's files. The token is that of the tests (RAY_AUTH_TOKEN_PATH), which Ray
    reads once per process.
    """
    home = folder / "home"
    home.mkdir()
    port, dashboard_port = free_port(), free_port()
    cluster = RayNodes(
        folder=folder,
        address=f"127.0.0.1:{port}",
        dashboard=f"http://127.0.0.1:{dashboard_port}",
        token_file=Path(os.environ["RAY_AUTH_TOKEN_PATH"]),
        home=home,
        agent_ports=tuple(free_port() for _ in range(workers + 1)),
        metrics_ports=tuple(free_port() for _ in range(workers + 1)),
        metrics_settings=metrics,
    )
    head = ["--head", f"--port={port}", "--num-cpus=0"]
    head += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    try:
        _start_node(cluster, *head)
        _wait_for_dashboard(cluster)
        for _ in range(workers):
            # One after the other: Ray gives a node 30 s to come up, however busy the machine is.
            _start_node(cluster, f"--address={cluster.address}", f"--num-cpus={cpus}")
            _wait_for_nodes(cluster)
        yield cluster
    finally:
        cluster.end()


def _start_node(cluster: RayNodes, *options: str) -> None:
    cluster.options.append(options)
    cluster.processes.append(_node_process(cluster, len(cluster.processes)))


def _node_process(cluster: RayNodes, number: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *[_BIN / "ray", "start", "--block", "--disable-usage-stats"],
            *["--node-ip-address=127.0.0.1", "--object-store-memory=150000000"],
            f"--temp-dir={cluster.folder}/{number}",
            # One address for all of them, so that no two may be given the same ports:
            *["--min-worker-port=0", "--max-worker-port=0"],
            f"--dashboard-agent-listen-port={cluster.agent_ports[number]}",
            f"--metrics-export-port={cluster.metrics_ports[number]}",
            *cluster.options[number],
        ],
        env={
            **os.environ,
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "REINFORCE_HOME": str(cluster.home),
            **cluster.metrics_settings,
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_dashboard(cluster: RayNodes) -> None:
    _wait(lambda: urllib.request.urlopen(f"{cluster.dashboard}/api/gcs_healthz", timeout=5).close())


def _wait_for_nodes(cluster: RayNodes) -> None:
    count = len(cluster.processes)

    def look() -> None:
        for number, process in enumerate(cluster.processes):
            if process.poll() is not None:  # too slow, or another process took a port meanwhile
                cluster.processes[number] = _node_process(cluster, number)
        if (alive := cluster.ask("/api/v0/nodes").count('"ALIVE"')) < count:
            raise OSError(f"{alive} of {count} nodes are there")

    _wait(look)


def _wait(look) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            return look()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
