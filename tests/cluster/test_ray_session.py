"""A local Ray keeps to this machine, and a cluster can be joined with its token only."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray


# Starts a session as the program does and lists the addresses that it and its children listen on.
LIST_LISTENERS = """
import sys
from pathlib import Path
from cluster.interrupts import Interrupts
from cluster.conductor import open_backend
from cluster.control import Control
from configs.config import Config
from workers.environment import inspect_environment

config = Config()
control = Control(Path("control.json"))
spec = inspect_environment(config.environment)
with open_backend(config, spec, Interrupts(), control):
    inodes = set()
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            stat = (fd.parent.parent / "environ").read_bytes()
            if b"REINFORCE_TEST_MARK" in stat:
                inodes.add(str(fd.readlink()))
        except OSError:
            pass
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                print(cells[1].split(":")[0])
"""

LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
    "00000000000000000000000001000000",  # ::1
}


def test_everything_that_a_local_ray_serves_is_bound_to_loopback():
    result = subprocess.run(
        [sys.executable, "-c", LIST_LISTENERS],
        env={**os.environ, "REINFORCE_TEST_MARK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    addresses = result.stdout.split()
    assert result.returncode == 0, result.stderr
    assert len(addresses) > 3  # raylet, GCS and agents
    assert set(addresses) <= LOOPBACK


@pytest.fixture
def cluster_address(tmp_path_factory):
    """A cluster started by hand, with a token."""
    folder = tmp_path_factory.mktemp("ray")
    token = secrets.token_hex(32)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    ray = Path(sys.executable).parent / "ray"
    port = 20_000 + os.getpid() % 10_000
    head = subprocess.Popen(
        [
            *[ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=2"],
            *["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"],
            *["--node-ip-address=127.0.0.1", "--object-store-memory=200000000"],
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"127.0.0.1:{port}", token
    head.terminate()
    head.wait(60)


def train(address, folder, token):
    return subprocess.run(
        [
            *[sys.executable, "-m", "cluster", "train", "cartpole", "--stop.max_updates", "1"],
            *["--cluster.address", address, "--tracking.enabled", "false"],
        ],
        cwd=folder,
        env={**os.environ, "RAY_AUTH_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_cluster_is_joined_with_its_token_and_not_without(cluster_address, tmp_path):
    import socket
    import time

    address, token = cluster_address
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1).close()
            break
        except OSError:
            time.sleep(0.2)
    time.sleep(3)  # the port answers before the node has joined

    joined = train(address, tmp_path, token)
    refused = train(address, tmp_path, secrets.token_hex(32))

    assert joined.returncode == 0, joined.stderr
    assert len(list(tmp_path.glob("runs/*/summary.json"))) == 1
    assert refused.returncode == 2
    assert "must share a token" in refused.stderr
    assert token not in joined.stdout + joined.stderr + refused.stderr
