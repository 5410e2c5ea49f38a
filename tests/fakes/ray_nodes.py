"""A Ray cluster of several nodes on this machine, started as a user starts one, with a token."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from free_port import free_port
from processes import wait_for

_BIN = Path(sys.executable).parent
_NODE_TIMEOUT_S = 60
_ATTEMPTS = 4

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
    settings: Mapping[str, str]
    agent_ports: list[int] = field(default_factory=list)
    metrics_ports: list[int] = field(default_factory=list)
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
        wait_for(lambda: not self._statuses_of_jobs() & _GOING_ON, pause_s=0.3)

    def _statuses_of_jobs(self) -> set[str]:
        return {job["status"] for job in json.loads(self.ask("/api/jobs/"))}

    def lose_power(self) -> None:
        """End all processes of all nodes before one of them can tell of the others' end."""
        for process in self.processes:
            _kill(process)

    def end(self) -> None:
        """End all nodes, and let them tidy up."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


def use_new_token(folder: Path) -> None:
    """Have this process, and all that it starts, show Ray a token that nobody had before."""
    file = folder / "token"
    file.write_text(secrets.token_hex(32))
    os.environ |= {"RAY_AUTH_TOKEN_PATH": str(file), "RAY_AUTH_MODE": "token"}


@contextmanager
def ray_nodes(
    folder: Path, *, workers: int = 2, cpus: int = 1, settings: Mapping[str, str] = QUICK_METRICS
) -> Iterator[RayNodes]:
    """A head without CPUs, where the learner lives, and nodes with so many CPUs each.

    ``settings`` are variables of their environment.
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
        settings=settings,
    )
    head = ["--head", f"--port={port}", "--num-cpus=0"]
    head += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    try:
        # One after the other: Ray gives a node 30 s to come up, however busy the machine is.
        _start_node(cluster, *head)
        for _ in range(workers):
            _start_node(cluster, f"--address={cluster.address}", f"--num-cpus={cpus}")
        yield cluster
    finally:
        cluster.end()


def _start_node(cluster: RayNodes, *options: str) -> None:
    """Start one node more and wait for it; one that does not come is started again elsewhere.

    Another process may have taken one of its ports meanwhile, and Ray may wait without an end for
    a process of the node's own that has died.
    """
    for attempt in range(_ATTEMPTS):
        process = _start_process(cluster, attempt, *options)
        deadline = time.monotonic() + _NODE_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            if _nodes_that_live(cluster) == len(cluster.processes):
                return
            time.sleep(0.3)
        _kill(cluster.processes.pop())
        del cluster.agent_ports[-1], cluster.metrics_ports[-1]
    said = _output_of(cluster, len(cluster.processes)).read_text(errors="replace")
    raise OSError(f"a node of the tests' cluster does not come up:\n{said}")


def _start_process(cluster: RayNodes, attempt: int, *options: str) -> "subprocess.Popen[bytes]":
    number = len(cluster.processes)
    cluster.agent_ports.append(free_port())
    cluster.metrics_ports.append(free_port())
    with _output_of(cluster, number).open("ab") as output:
        process = subprocess.Popen(
            [
                *[_BIN / "ray", "start", "--block", "--disable-usage-stats"],
                *["--node-ip-address=127.0.0.1", "--object-store-memory=150000000"],
                # Of its own: Ray would find ports there that an earlier attempt at this node had.
                # Short: the addresses of its sockets have 107 characters at most.
                f"--temp-dir={cluster.folder}/{number}{'abcd'[attempt]}",
                # One address for all of them, so that no two may be given the same ports:
                *["--min-worker-port=0", "--max-worker-port=0"],
                f"--dashboard-agent-listen-port={cluster.agent_ports[number]}",
                f"--metrics-export-port={cluster.metrics_ports[number]}",
                *options,
            ],
            env={
                **os.environ,
                "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
                "RAY_AUTH_MODE": "token",
                "REINFORCE_HOME": str(cluster.home),
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
                **cluster.settings,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    cluster.processes.append(process)
    return process


def _output_of(cluster: RayNodes, number: int) -> Path:
    return cluster.folder / f"node-{number}.txt"


def _nodes_that_live(cluster: RayNodes) -> int:
    try:
        return cluster.ask("/api/v0/nodes").count('"ALIVE"')
    except OSError:
        return 0  # the head comes up


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
