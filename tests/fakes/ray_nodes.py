"""A Ray cluster of several nodes on this machine, started as a user starts one, with a token."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_BIN = Path(sys.executable).parent
_START_TIMEOUT_S = 90


@dataclass(frozen=True)
class RayNodes:
    """What a user knows of a cluster."""

    address: str
    dashboard: str
    token_file: Path
    home: Path
    metrics_ports: tuple[int, ...]

    @property
    def token(self) -> str:
        return self.token_file.read_text()

    def metrics(self) -> str:
        """What Prometheus reads from all nodes."""
        texts = []
        for port in self.metrics_ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                texts.append(answer.read().decode())
        return "\n".join(texts)

    def worker_logs(self) -> str:
        """What actors have written on all nodes."""
        files = self.token_file.parent.glob("*/session_*/logs/worker-*")
        return "\n".join(path.read_text(errors="replace") for path in files)


@contextmanager
def ray_nodes(folder: Path) -> Iterator[RayNodes]:
    """A head without CPUs, where the learner lives, and two nodes with one CPU each.

    Each has a folder of its own, as on machines of their own: nodes that share one overwrite each
    other's copy of a job's files.
    """
    token_file = folder / "token"
    token_file.write_text(secrets.token_hex(32))
    home = folder / "home"
    home.mkdir()
    port, dashboard_port = _free_port(), _free_port()
    cluster = RayNodes(
        f"127.0.0.1:{port}",
        f"http://127.0.0.1:{dashboard_port}",
        token_file,
        home,
        (_free_port(), _free_port(), _free_port()),
    )
    with ExitStack() as stack:
        stack.enter_context(
            _node(
                cluster,
                f"--temp-dir={folder}/h",
                f"--metrics-export-port={cluster.metrics_ports[0]}",
                *["--head", f"--port={port}", "--num-cpus=0"],
                *["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"],
            )
        )
        _wait_for_dashboard(cluster)
        for name, metrics_port in zip("ab", cluster.metrics_ports[1:], strict=True):
            stack.enter_context(
                _node(
                    cluster,
                    f"--temp-dir={folder}/{name}",
                    f"--metrics-export-port={metrics_port}",
                    *[f"--address={cluster.address}", "--num-cpus=1"],
                )
            )
        _wait_for_nodes(cluster, 3)
        yield cluster


@contextmanager
def _node(cluster: RayNodes, *options: str) -> Iterator[None]:
    process = subprocess.Popen(
        [
            *[_BIN / "ray", "start", "--block", "--disable-usage-stats"],
            *["--node-ip-address=127.0.0.1", "--object-store-memory=150000000"],
            f"--dashboard-agent-listen-port={_free_port()}",  # one address for all three
            *options,
        ],
        env={
            **os.environ,
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(cluster.token_file),
            "REINFORCE_HOME": str(cluster.home),
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_for_dashboard(cluster: RayNodes) -> None:
    _wait(lambda: urllib.request.urlopen(f"{cluster.dashboard}/api/gcs_healthz", timeout=5).close())


def _wait_for_nodes(cluster: RayNodes, count: int) -> None:
    def look() -> None:
        request = urllib.request.Request(
            f"{cluster.dashboard}/api/v0/nodes",
            headers={"Authorization": f"Bearer {cluster.token}"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            if answer.read().count(b'"ALIVE"') < count:
                raise OSError("not all nodes are there")

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
