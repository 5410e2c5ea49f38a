"""The object store has room for the batches to come; where it has none, it is said and counted."""

import json
import subprocess
import sys

import pytest

from reinforce.cluster.backends.ray.object_store import batches_bytes, store_bytes
from reinforce.workers.environment import inspect_environment

MIB, GIB = 1 << 20, 1 << 30


def bytes_for(make_config, **sections):
    config = make_config(**{"environment": {"id": "CartPole-v1"}, **sections})
    return batches_bytes(config, inspect_environment(config.environment))


def test_what_lies_in_it_is_two_batches_of_episodes_that_last_as_long_as_they_may(make_config):
    # A step of CartPole: 4 numbers of 4 bytes, and 20 bytes beside them; 500 steps at most.
    step = 4 * 4 + 20

    assert bytes_for(make_config, learner={"episodes_per_update": 8}) == 2 * 8 * 500 * step
    ahead = {"learner": {"episodes_per_update": 8}, "cluster": {"lookahead": 1}}
    assert bytes_for(make_config, **ahead) == 3 * 8 * 500 * step
    grows = {"episodes_per_update": "auto", "episodes_bounds": [4, 32]}
    assert bytes_for(make_config, learner=grows) == 2 * 32 * 500 * step
    short = {"id": "CartPole-v1", "max_episode_steps": 20}
    eight = {"episodes_per_update": 8}
    assert bytes_for(make_config, environment=short, learner=eight) == 2 * 8 * 20 * step
    endless = {"id": "gymnasium.envs.classic_control:CartPoleEnv"}
    assert bytes_for(make_config, environment=endless, learner=eight) == 2 * 8 * 1000 * step


@pytest.mark.parametrize(
    ("batches", "shared_memory", "memory", "expected"),
    [
        (5 * MIB, 24 * GIB, 20 * GIB, 512 * MIB),
        (4 * GIB, 24 * GIB, 20 * GIB, 5 * GIB),  # a quarter more
        (64 * GIB, 24 * GIB, 20 * GIB, 10 * GIB),  # half of the memory
        (64 * GIB, 5 * GIB, 20 * GIB, 4 * GIB),  # four fifths of /dev/shm
        (5 * MIB, 200 * MIB, 20 * GIB, 160 * MIB),
        (5 * MIB, 24 * GIB, 50 * MIB, 80 * MIB),  # the least that Ray takes
        (5 * MIB, 64 * MIB, 20 * GIB, None),  # Docker's, which is too small for any
        (5 * MIB, 0, 20 * GIB, None),
    ],
)
def test_it_is_as_large_as_the_batches_need_and_memory_allows(
    batches, shared_memory, memory, expected
):
    assert store_bytes(batches, shared_memory, memory) == expected


# The command, with an object store of 80 MiB, the least that Ray takes.
SMALL = """
import sys
from reinforce.cluster.backends.ray import object_store
from reinforce.cluster.cli import main

object_store.store_bytes = lambda *_: 80 << 20
sys.exit(main(["train", "large.yaml", "--run.name", "large"]))
"""

# 240 MB: 200 episodes of 12 steps of 100 kB.
LARGE = """
run: {directory: runs}
environment: {id: "large:Large", max_episode_steps: 12}
policy: {hidden_sizes: [2]}
stop: {max_updates: 2}
learner: {episodes_per_update: 200}
workers: {num_workers: 1, envs_per_worker: 5, episodes_per_ticket: 5}
evaluation: {episodes: 5, every_updates: null}
tracking: {enabled: false}
"""

ENVIRONMENT = """
import gymnasium
import numpy as np


class Large(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (25_000,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(25_000, np.float32), {}

    def step(self, action):
        return np.zeros(25_000, np.float32), float(action), False, False, {}
"""


def can_mount():
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


with_small_disks = pytest.mark.skipif(not can_mount(), reason="mounts no file systems of its own")


def train(folder, program=SMALL, mounted=None):
    """Run the command, where a place is a disk of so many bytes if that is asked for."""
    (folder / "large.yaml").write_text(LARGE)
    (folder / "large.py").write_text(ENVIRONMENT)
    command = [sys.executable, "-c", program]
    if mounted:
        place, size = mounted
        mount = f'mount -t tmpfs -o size={size} tmpfs {place} && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, "sh", *command]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
@pytest.mark.ray
def test_spilling_is_said_once_and_counted(tmp_path):
    result = train(tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count("the object store is full") == 1
    lines = (tmp_path / "runs/large/metrics.jsonl").read_text().splitlines()
    updates = [entry for entry in map(json.loads, lines) if entry["batch"]]
    spilled = [entry["metrics"].get("cluster/spilled_bytes", 0) for entry in updates]
    assert spilled[-1] > 50 * MIB
    assert spilled == sorted(spilled)
    summary = json.loads((tmp_path / "runs/large/summary.json").read_text())
    assert summary["spilled_bytes"] >= spilled[-1]


@pytest.mark.slow
@pytest.mark.ray
@with_small_disks
def test_a_disk_too_full_to_spill_to_is_named(tmp_path, temporary_folder):
    result = train(tmp_path, mounted=(temporary_folder, "60m"))

    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "the object store is full, and so is the disk that it spills to" in last
    assert str(temporary_folder) in last


CARTPOLE = """
import sys
from reinforce.cluster.cli import main

options = ["--stop.max_updates", "1", "--evaluation.episodes", "5", "--tracking.enabled", "false"]
sys.exit(main(["train", "cartpole", *options]))
"""


@pytest.mark.slow
@with_small_disks
def test_a_folder_for_temporary_files_that_is_full_is_named_at_once(tmp_path, temporary_folder):
    result = train(tmp_path, CARTPOLE, mounted=(temporary_folder, "64k"))

    assert result.returncode == 1
    assert f"reinforce: {temporary_folder} is full (64 KiB are free)" in result.stderr


@pytest.mark.slow
@pytest.mark.ray
@with_small_disks
def test_in_a_container_with_little_shared_memory_ray_runs_on_disk_and_says_so(tmp_path):
    result = train(tmp_path, CARTPOLE, mounted=("/dev/shm", "64m"))

    assert result.returncode == 0, result.stderr
    assert "/dev/shm has 64 MiB free, too little for Ray's objects" in result.stdout
    assert "WARNING" not in result.stdout + result.stderr  # Ray's own, of six lines
