"""A local Ray keeps to this machine, and to the process that has started it."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray import session
from reinforce.cluster.errors import LocalRayError
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config

pytestmark = pytest.mark.ray

# Starts a session as the program does and tells the addresses that it and its children listen on,
# what is said to somebody with another token, and whether the token is among the arguments of a
# process.
LOOK_AROUND = """
import json, os, subprocess, sys
import reinforce, ray  # as a program does: it is not told to stay on this machine in time
from contextlib import suppress
from pathlib import Path

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.configs.config import Config
from reinforce.workers.environment import inspect_environment

config, before = Config(), set(os.environ)
spec = inspect_environment(config.environment)
with open_backend(config, spec, Driver(Interrupts())):
    token, while_it_lives = os.environ["RAY_AUTH_TOKEN"], sorted(set(os.environ) - before)
    inodes, arguments, listeners = set(), b"", []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"REINFORCE_TEST_MARK" in (process / "environ").read_bytes():
                arguments += (process / "cmdline").read_bytes()
                inodes |= {str(fd.readlink()) for fd in (process / "fd").glob("*")}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                listeners.append(cells[1].split(":"))
    address = ray.get_runtime_context().gcs_address
    stranger = subprocess.run(
        [sys.executable, "-m", "reinforce", "doctor", "cartpole", "--cluster.address", address],
        env=os.environ | {"RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
    )
print(json.dumps({
    "listeners": listeners,
    "stranger": stranger.stdout,
    "token_length": len(token),
    "token_in_arguments": token.encode() in arguments,
    "arguments": len(arguments),
    "while_it_lives": while_it_lives,
    "left": sorted(set(os.environ) - before),
}))
"""

LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
    "00000000000000000000000001000000",  # ::1
}


@pytest.fixture(scope="module")
def seen():
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    result = subprocess.run(
        [sys.executable, "-c", LOOK_AROUND],
        env={**own, "HOME": "/nonexistent", "REINFORCE_TEST_MARK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_everything_that_a_local_ray_serves_is_bound_to_loopback(seen):
    assert len(seen["listeners"]) > 3  # raylet, GCS and agents
    assert {address for address, _ in seen["listeners"]} <= LOOPBACK


def test_a_local_ray_leaves_the_usual_port_of_agents_to_clusters(seen):
    """One that starts later and finds it taken never accepts a job."""
    taken = {int(port, 16) for _, port in seen["listeners"]}

    assert DEFAULT_DASHBOARD_AGENT_LISTEN_PORT not in taken


def test_a_local_ray_has_a_token_of_its_own_and_lets_nobody_in_without_it(seen):
    assert seen["token_length"] == 64
    assert "rejects our token: the token of RAY_AUTH_TOKEN is not the cluster's" in seen["stranger"]


def test_the_token_of_a_local_ray_is_in_no_argument(seen):
    assert seen["arguments"] > 1000
    assert not seen["token_in_arguments"]


def test_nothing_of_ours_is_left_in_the_environment_that_ray_start_would_inherit(seen):
    """A process that has trained here may start a node, which must not keep to this machine."""
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    assert name not in seen["while_it_lives"]
    assert name not in seen["left"]
    assert "RAY_AUTH_TOKEN" not in seen["left"]


@pytest.mark.slow
def test_ray_starts_where_the_folder_for_temporary_files_has_a_long_path(tmp_path):
    """As schedulers of clusters give it; the address of a Unix socket has 107 characters."""
    long = tmp_path / ("x" * 60)
    long.mkdir()
    program = (
        "from reinforce.cluster.backends.backend import Driver\n"
        "from reinforce.cluster.backends.ray.session import ray_session\n"
        "from reinforce.cluster.interrupts import Interrupts\n"
        "from reinforce.configs.config import Config\n"
        "with Interrupts() as interrupts, ray_session(Config(), Driver(interrupts, tell=print)):\n"
        "    print('it is up')\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    said, *_, up = result.stdout.splitlines()  # between them, another run's Ray may start
    assert f"{long} is too long for Ray's sockets" in said
    assert up == "it is up", result.stderr


@pytest.fixture
def turns(monkeypatch):
    """A run that has Ray, and one that waits for it."""
    monkeypatch.setattr(session, "_START_TIMEOUT_S", 0.1)
    monkeypatch.setattr(session, "_ONE_AT_A_TIME", threading.Lock())
    first, second = (session._Life(Config(), Driver(Interrupts()), 0) for _ in range(2))
    first._wait_for_turn()
    monkeypatch.setattr(session._Life, "_holder", first)
    return first, second


def test_a_ray_that_hangs_in_an_earlier_run_is_not_waited_for_without_end(turns):
    first, second = turns
    threading.Timer(1.0, first.end).start()  # until then it trains
    began_s = time.monotonic()

    with pytest.raises(LocalRayError, match="Ray hangs in an earlier run of this process"):
        second.begin()

    assert time.monotonic() - began_s > 1.0


def test_a_run_that_ends_while_it_waits_does_not_take_its_turn(turns):
    _, second = turns
    second.end()

    with pytest.raises(LocalRayError, match="has ended before its turn"):
        second._wait_for_turn()
