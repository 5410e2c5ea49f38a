"""A local Ray that does not come up: its raylet is halted as soon as it is there."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from processes import processes_in, ray_folders, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# The command, whose time to wait for Ray is over as soon as there is a file of that name. In true
# seconds a busy machine may take too long to have a raylet, and Ray gives a halted one up after 30.
TRAIN = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from reinforce.cluster.backends.ray import session
from reinforce.__main__ import main

def monotonic():
    return time.monotonic() + 1e6 * Path("over").exists()

session.time = SimpleNamespace(monotonic=monotonic)
sys.argv[1:] = ["train", "cartpole"]
sys.exit(main())
"""


@contextmanager
def run_whose_ray_hangs(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        (raylet,) = wait_for(lambda: raylets_in(folder), pause_s=0.01)
        os.kill(raylet, signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


def raylets_in(folder):
    found = []
    for pid in processes_in(folder):
        with suppress(OSError):  # it has ended
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
            found += [pid] if program.endswith(b"/raylet") else []
    return found


def assert_nothing_is_left(temporary_folder, folder):
    assert list(folder.iterdir()) == []
    assert ray_folders(temporary_folder) == []
    wait_for(lambda: processes_in(folder) == [])


def test_a_signal_ends_a_run_whose_ray_hangs(tmp_path, temporary_folder):
    with run_whose_ray_hangs(tmp_path) as process:
        began_s = time.monotonic()
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert time.monotonic() - began_s < 5

    assert process.returncode == 143
    assert "interrupted before the run began" in said
    assert_nothing_is_left(temporary_folder, tmp_path)


# A program that does not look at signals while its Ray is there.
DEAF = """
import time
from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.session import ray_session
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config

with Interrupts() as interrupts, ray_session(Config(), Driver(interrupts)):
    print("up", flush=True)
    time.sleep(600)
"""


def test_a_second_signal_ends_everything_at_once(tmp_path, temporary_folder):
    with subprocess.Popen(
        [sys.executable, "-c", DEAF], cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        time.sleep(0.5)  # sooner it would be taken for an echo of the first
        process.terminate()
        assert process.wait(5) == 143

    assert ray_folders(temporary_folder) == []
    wait_for(lambda: processes_in(tmp_path) == [])


# A raylet that dies while Ray starts: Ray waits for it for half a minute, as for one that is slow.
PATIENT = """
from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray import session
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config

session._PAUSES_S = (0.1,)
with Interrupts() as interrupts, session.ray_session(Config(), Driver(interrupts, tell=print)):
    print("up")
"""


def test_a_ray_that_is_too_slow_is_started_again(tmp_path, temporary_folder):
    with subprocess.Popen(
        [sys.executable, "-c", PATIENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        (raylet,) = wait_for(lambda: raylets_in(tmp_path), pause_s=0.01)
        os.kill(raylet, signal.SIGKILL)
        said, _ = process.communicate(timeout=180)

    assert process.returncode == 0
    first, last = said.splitlines()
    assert first.startswith("Ray did not start within")
    assert last == "up"
    assert ray_folders(temporary_folder) == []
    wait_for(lambda: processes_in(tmp_path) == [])


def test_ray_that_does_not_start_in_time_is_given_up_with_a_way_out(tmp_path, temporary_folder):
    with run_whose_ray_hangs(tmp_path) as process:
        (tmp_path / "over").touch()
        _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "cannot start Ray on this machine: TimeoutError: it has not answered for 120 s" in said
    assert "Use cluster.backend inline" in said
    assert ray_folders(temporary_folder) == []
    wait_for(lambda: processes_in(tmp_path) == [])
