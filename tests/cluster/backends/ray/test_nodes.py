"""Nodes of a real Ray cluster come, are given notice, and vanish while a run goes on.

Several raylets on this machine, by the class with which Ray tests itself.
"""

import re
import signal
import threading
import time

import numpy as np
import pytest
import ray
from failing_learners import AnsweringLearner
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from runs import RecordingDisplay, train

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.actors import SIGNS_OF_LIFE
from reinforce.cluster.backends.ray.learner import RayLearner
from reinforce.cluster.errors import LearnerStateLostError
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.workers.environment import inspect_environment
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPISODES_PER_UPDATE = 8
SECTIONS = {
    "policy": {"hidden_sizes": [200, 200]},  # weights of 160 kB: too large to travel with a message
    "learner": {"episodes_per_update": EPISODES_PER_UPDATE},
    "workers": {"envs_per_worker": 1, "episodes_per_ticket": 1},
}
# A node that vanishes closes its connections, which is seen at once. One that is only starved on a
# loaded machine must not be taken for lost, hence patience of half a minute.
PATIENT_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 6,
}


class ReapingCluster(Cluster):
    """A cluster whose processes are waited for when they are ended."""

    def remove_node(self, node, allow_graceful=True):  # noqa: FBT002  (as Ray has it)
        processes = [info.process for infos in node.all_processes.values() for info in infos]
        super().remove_node(node, allow_graceful)
        for process in processes:
            process.wait(60)


@pytest.fixture
def cluster(without_shared_ray):
    options = {"num_cpus": 1, "_system_config": PATIENT_HEALTH_CHECKS}
    cluster = ReapingCluster(initialize_head=True, head_node_args=options)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def config_on(make_config, cluster):
    return make_config(
        **SECTIONS,
        environment={"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.003}},
        stop={"max_updates": 1_000_000},
        cluster={"backend": "ray", "address": cluster.address},
    )


def assert_equal_to_one_process(make_config, outcome, records):
    """Compare with a run in this process, where no step is delayed."""
    expected, expected_records, _ = train(
        make_config(
            **SECTIONS,
            run={"name": "inline"},
            environment={"id": "fake_environments:ShortOrLong-v0"},
            stop={"max_updates": outcome.progress.updates},
        )
    )
    assert batches(records) == batches(expected_records)
    assert outcome.weights_sha256 == expected.weights_sha256


def batches(records):
    return [record.batch.sha256 for record in records if record.batch]


class Story:
    """Has things happen in turn, each when so many workers have made five updates in a row.

    How many updates are made meanwhile is left to the machine.
    """

    def __init__(self, *steps, limit_s=180.0):
        self._steps = list(steps)
        self._limit_s = limit_s
        self._began_s = self._acted_s = time.monotonic()
        self._seen_at_s = []
        self.took_s = []
        """For each step, seconds from the one before until there were its workers."""

    def __call__(self, record):
        if not record.batch or not self._steps:
            return
        now_s = time.monotonic()
        num_workers, action = self._steps[0]
        alive = record.metrics["cluster/workers_alive"]
        assert now_s - self._began_s < self._limit_s, (
            f"there are {alive} workers, not {num_workers}"
        )
        self._seen_at_s = [*self._seen_at_s, now_s] if alive == num_workers else []
        if len(self._seen_at_s) == 5:
            self.took_s.append(self._seen_at_s[0] - self._acted_s)
            del self._steps[0]
            action()
            self._seen_at_s, self._acted_s = [], time.monotonic()


def in_the_midst(action):
    """Act a moment later, when the next batch is being played."""
    threading.Timer(0.02, action).start()


def end(interrupts):
    """End the run by a signal, in the midst of the next batch."""
    interrupts._on_signal(signal.SIGTERM, None)


def test_a_new_node_is_used_and_a_lost_one_costs_nothing(make_config, cluster, interrupts):
    nodes = []
    story = Story(
        (1, lambda: nodes.append(cluster.add_node(num_cpus=1))),
        (2, lambda: in_the_midst(lambda: cluster.remove_node(nodes[0], allow_graceful=False))),
        (1, lambda: end(interrupts)),
    )

    outcome, records, _ = train(
        config_on(make_config, cluster), RecordingDisplay(story), interrupts
    )

    _, until_used_s, until_gone_s = story.took_s
    assert until_used_s < 10
    assert until_gone_s < 20
    assert_equal_to_one_process(make_config, outcome, records)
    tickets = outcome.progress.tickets
    assert tickets.dropped == 0
    assert tickets.issued - tickets.completed <= EPISODES_PER_UPDATE, "those of the last batch"


def test_a_node_that_was_given_notice_gets_no_new_tickets(make_config, cluster, interrupts):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def give_notice():
        reason, deadline_ms = 2, int((time.time() + 100) * 1000)  # preemption
        GcsClient(address=cluster.address).drain_node(
            node.node_id, reason, "spot notice", deadline_ms
        )

    story = Story((2, lambda: in_the_midst(give_notice)), (1, lambda: end(interrupts)))

    outcome, records, _ = train(
        config_on(make_config, cluster), RecordingDisplay(story), interrupts
    )

    assert story.took_s[1] < 10
    assert_equal_to_one_process(make_config, outcome, records)
    assert outcome.progress.worker_restarts == 0, "it was let go, not lost"
    assert outcome.progress.tickets.reissued == 0


class LearnerFarAway(AnsweringLearner):
    """Has a state that is too large to travel with a message, on a node of its own."""

    def state(self):
        return np.zeros(100_000)

    @ray.method(num_returns=3)
    def update(self, trajectories, version):
        time.sleep(3600)


def test_a_state_that_vanishes_with_its_node_is_told_apart(cluster, interrupts):
    """The lifecycle then goes back to a checkpoint."""
    node = cluster.add_node(num_cpus=1, resources={"far": 1})
    ray.init(address=cluster.address)
    make_actor = (
        ray.remote(concurrency_groups=SIGNS_OF_LIFE)(LearnerFarAway)
        .options(resources={"far": 1})
        .remote
    )
    learner = RayLearner(lambda state: make_actor(), None, Driver(interrupts))
    assert ray.wait([learner._starts[0].state], fetch_local=False, timeout=60)[0]
    in_the_midst(lambda: cluster.remove_node(node, allow_graceful=False))

    with pytest.raises(LearnerStateLostError, match="the learner's state was lost with its node"):
        learner.update([])


def test_what_the_workers_of_all_nodes_print_is_heard(make_config, cluster, interrupts, tmp_path):
    """Each of them plays on only once both were heard."""
    cluster.add_node(num_cpus=1)
    lines, marker = [], tmp_path / "heard"
    config = make_config(
        environment={
            "id": "printing_environment:Printing",
            "kwargs": {"text": "I wait", "waits_for": str(marker)},
        },
        workers={"num_workers": 2, "episodes_per_ticket": 1},
        cluster={"backend": "ray", "address": cluster.address},
    )

    def hear(line):
        lines.append(line)
        if len({said[: len("[worker 0")] for said in lines if "I wait" in said}) == 2:
            marker.touch()

    driver = Driver(interrupts, print_line=hear)
    with open_backend(config, inspect_environment(config.environment), driver) as backend:
        backend.pool.submit(draw_tickets(0, Purpose.TRAINING, 0, 2, 1), backend.learner.weights())
        backend.pool.collect(Purpose.TRAINING, 0)

    said = {re.sub(r"ticket 0:[01]", "ticket 0:N", line) for line in lines}
    steps = {f"[worker {worker}, ticket 0:N] I wait" for worker in (0, 1)}
    assert said == {*steps, "[worker 0] made", "[worker 1] made"}
    assert len(lines) == 4
