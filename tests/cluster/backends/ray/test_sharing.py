"""Runs share a cluster by their priorities: what each is to have, and two of them on a real one."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import wait_for
from ray_nodes import ray_nodes

import reinforce
from reinforce.cluster.backends.ray.sharing import Claim, shares
from reinforce.cluster.cli import main
from reinforce.cluster.run_store.recent_returns import recent_returns

MANY = 10_000


def parts(node_cpus, *wishes):
    """Workers of runs that give (priority, fewest, most), and CPUs per worker if not 1."""
    claims = tuple(
        Claim(str(number), priority, cpus_per_worker[0] if cpus_per_worker else 1.0, fewest, most)
        for number, (priority, fewest, most, *cpus_per_worker) in enumerate(wishes)
    )
    nodes = node_cpus if isinstance(node_cpus, tuple) else (node_cpus,)
    return list(shares(claims, nodes).values())


@pytest.mark.parametrize(
    ("cpus", "wishes", "expected"),
    [
        (4, [(1, 1, MANY)], [4]),
        (4, [(1, 1, MANY), (1, 1, MANY)], [2, 2]),
        (4, [(3, 1, MANY), (1, 1, MANY)], [3, 1]),
        (30, [(2, 1, MANY), (1, 1, MANY)], [20, 10]),
        (5, [(1, 1, MANY), (1, 1, MANY)], [3, 2]),
        (8, [(1, 1, 1), (1, 1, MANY)], [1, 7]),
        (8, [(1, 5, 5), (9, 1, MANY)], [5, 3]),
        (2, [(1, 1, MANY), (1, 1, MANY), (100, 1, MANY)], [1, 1, 1]),
        (4, [(1, 9, 9), (1, 1, MANY)], [9, 1]),
        (8, [(1, 1, MANY, 2.0), (1, 1, MANY, 1.0)], [2, 4]),
        (1, [(1, 1, MANY, 0.1)], [10]),
        (0, [(1, 1, MANY)], [1]),
        ((3, 3), [(1, 1, MANY, 2.0), (1, 1, MANY, 2.0)], [1, 1]),
        ((3, 3), [(1, 1, MANY, 2.0), (1, 1, MANY, 1.0)], [1, 4]),
    ],
)
def test_parts_follow_priorities_and_what_is_not_wanted_goes_to_others(cpus, wishes, expected):
    assert parts(cpus, *wishes) == expected


TRAIN = {
    "environment.id": "fake_environments:ShortOrLong-v0",
    "policy.hidden_sizes": [8],
    "learner.episodes_per_update": 8,
    "workers.envs_per_worker": 1,
    "workers.episodes_per_ticket": 1,
    "evaluation.episodes": 5,
    "evaluation.every_updates": None,
    "tracking.enabled": False,
    "stop.max_updates": 1_000_000,
}
SLOWLY = {"environment.kwargs": {"step_s": 0.003}}


class Training:
    """A run in a process of its own, on a cluster."""

    def __init__(self, folder, nodes, name, settings):
        self.path = folder / "runs" / name
        settings = {**TRAIN, **SLOWLY, "cluster.address": nodes.address, **settings}
        program = (
            "import reinforce, sys\n"
            f"reinforce.train(None, {settings!r}, name={name!r}, directory='runs')\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            env=os.environ,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def workers(self):
        """Those that were alive at the newest update."""
        newest = recent_returns(self.path / "metrics.jsonl").newest
        return int(newest.metrics["cluster/workers_alive"]) if newest else 0

    def end(self):
        self.process.terminate()
        self.said, _ = self.process.communicate(timeout=90)


@contextmanager
def training(*arguments):
    run = Training(*arguments)
    try:
        yield run
    finally:
        run.end()


def assert_equal_to_a_run_alone(run, folder):
    """Made by one process that does not wait in each step, which is no part of the numbers."""
    made = reinforce.load(run.path)
    settings = {**TRAIN, "stop.max_updates": made.summary["updates"]}
    alone = reinforce.train(
        None, settings, backend="inline", directory=folder, name=run.path.name, progress=False
    )
    assert alone.weights_sha256 == made.weights_sha256


@pytest.fixture(scope="module")
def nodes():
    with (
        tempfile.TemporaryDirectory(prefix="r") as folder,
        ray_nodes(Path(folder), workers=2, cpus=2) as nodes,
    ):
        yield nodes


@pytest.mark.ray
@pytest.mark.slow
def test_two_runs_share_a_cluster_and_the_one_that_stays_gets_all_of_it(nodes, tmp_path):
    with training(tmp_path, nodes, "high", {"cluster.priority": 3.0}) as high:
        wait_for(lambda: high.workers == 4)
        with training(tmp_path, nodes, "low", {"stop.max_updates": 25}) as low:
            wait_for(lambda: (high.workers, low.workers) == (3, 1))
            began = recent_returns(high.path / "metrics.jsonl").newest.updates
            assert low.process.wait(120) == 0
        ended = recent_returns(high.path / "metrics.jsonl").newest.updates
        wait_for(lambda: high.workers == 4)

    assert ended > began, "both go on"
    assert "2 runs share the cluster; this one's part is 3 workers" in high.said
    assert "no other run shares the cluster any more" in high.said
    assert "2 runs share the cluster; this one's part is 1 worker\n" in low.said
    assert_equal_to_a_run_alone(high, tmp_path / "alone")
    assert_equal_to_a_run_alone(low, tmp_path / "alone")


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_that_finds_no_room_is_shown_to_wait_for_it(nodes, tmp_path, capsys):
    def shown():
        capsys.readouterr()
        assert main(["status", "--address", nodes.dashboard]) == 0
        return capsys.readouterr().out

    with training(tmp_path, nodes, "greedy", {"workers.num_workers": 4}) as greedy:
        wait_for(lambda: greedy.workers == 4)
        with training(tmp_path, nodes, "patient", {}) as patient:
            wait_for(lambda: ": no room yet, 1 CPU asked, 0 free" in shown())
            greedy.process.kill()  # its claim goes with it
            wait_for(lambda: patient.workers == 4)
