"""A local Ray keeps to this machine."""

import os
import subprocess
import sys

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
