"""Rays of one user start in turn, whoever is killed meanwhile."""

import subprocess
import sys

import pytest
from processes import wait_for

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.local_folder import LocalFolder
from reinforce.cluster.backends.ray.session import _Life
from reinforce.cluster.backends.ray.start_turns import turn_to_start
from reinforce.cluster.errors import LocalRayError
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config

HOLD = """
import sys, time
from pathlib import Path
from reinforce.cluster.backends.ray.start_turns import turn_to_start

with turn_to_start(Path(sys.argv[1]), lambda wait_s: False, print):
    print("in", flush=True)
    time.sleep(600)
"""


def test_one_waits_for_another_says_so_and_is_next_when_that_is_killed(tmp_path):
    told, asked = [], []
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"

        def is_unwanted(wait_s):
            asked.append(wait_s)
            if len(asked) == 3:
                other.kill()
                other.wait()
            return False

        with turn_to_start(tmp_path, is_unwanted, told.append):
            assert len(asked) == 3
            assert len(list(tmp_path.iterdir())) == 1
    assert told == ["waiting for another run's Ray to start"]
    assert list(tmp_path.iterdir()) == []


def test_who_is_not_wanted_any_more_does_not_wait(tmp_path):
    with (
        turn_to_start(tmp_path, lambda wait_s: False, print),
        turn_to_start(tmp_path, lambda wait_s: True, print),
    ):
        pass


def test_a_ray_that_nobody_waits_for_any_more_is_not_started(tmp_path):
    """As after a signal while another run's Ray was starting."""
    life = _Life(Config(), Driver(Interrupts()), 0)
    life.end()

    with pytest.raises(LocalRayError, match="nobody waits for Ray any more"):
        life._start_patiently(LocalFolder(tmp_path))


def test_a_lock_that_cannot_be_held_keeps_nobody_from_starting(tmp_path):
    with turn_to_start(tmp_path, lambda wait_s: False, print):
        (lock,) = tmp_path.iterdir()
    lock.mkdir()
    with turn_to_start(tmp_path, lambda wait_s: False, print):
        wait_for(lock.is_dir)
