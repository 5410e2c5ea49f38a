"""Nodes of a real Ray cluster come, are given notice, and vanish while a run goes on.

Several raylets on this machine, by the class with which Ray tests itself.
"""

import threading
import time

import numpy as np
import pytest
import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from runs import RecordingDisplay, train

from cluster.backends.ray_learner import RayLearner
from cluster.errors import LearnerStateLostError

pytestmark = pytest.mark.ray

SECTIONS = {
    "policy": {"hidden_sizes": [200, 200]},  # weights of 160 kB: too large to travel with a message
    "learner": {"episodes_per_update": 8},
    "workers": {"envs_per_worker": 1, "episodes_per_ticket": 1},
}
FAST_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


class ReapingCluster(Cluster):
    """A cluster whose processes are waited for when they are ended."""

    def remove_node(self, node, allow_graceful=True):  # noqa: FBT002  (as Ray has it)
        processes = [info.process for infos in node.all_processes.values() for info in infos]
        super().remove_node(node, allow_graceful)
        for process in processes:
            process.wait(60)


@pytest.fixture
def cluster():
    options = {"num_cpus": 1, "_system_config": FAST_HEALTH_CHECKS}
    cluster = ReapingCluster(initialize_head=True, head_node_args=options)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def config_on(make_config, cluster, num_updates):
    return make_config(
        **SECTIONS,
        environment={"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.003}},
        stop={"max_updates": num_updates},
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


class Events:
    """Has something happen after an update, and notes how many workers there are."""

    def __init__(self, plan, limit_s=90.0):
        self._plan = dict(plan)
        self._deadline_s = time.monotonic() + limit_s
        self.workers = []
        self.happened_at_s = {}

    def __call__(self, record):
        if not record.batch:
            return
        assert time.monotonic() < self._deadline_s, "it takes too long"
        self.workers.append((time.monotonic(), record.metrics["cluster/workers_alive"]))
        event = self._plan.pop(record.updates, None)
        if event:
            event()
            self.happened_at_s[record.updates] = time.monotonic()


def in_the_midst(action):
    """Act a moment later, when the next batch is being played."""
    threading.Timer(0.02, action).start()


def seconds_until(events, update, num_workers):
    """Time from the event after an update until there was another number of workers."""
    began_s = events.happened_at_s[update]
    times = [at for at, number in events.workers if at > began_s and number == num_workers]
    assert times, f"there never were {num_workers} workers: {events.workers[-5:]}"
    return times[0] - began_s


def test_a_new_node_is_used_and_a_lost_one_costs_nothing(make_config, cluster):
    nodes = []
    events = Events(
        {
            5: lambda: nodes.append(cluster.add_node(num_cpus=1)),
            80: lambda: in_the_midst(lambda: cluster.remove_node(nodes[0], allow_graceful=False)),
        }
    )

    outcome, records, _ = train(config_on(make_config, cluster, 160), RecordingDisplay(events))

    assert seconds_until(events, 5, 2) < 10
    assert seconds_until(events, 80, 1) < 20
    assert_equal_to_one_process(make_config, outcome, records)
    tickets = outcome.progress.tickets
    assert (tickets.completed, tickets.dropped) == (tickets.issued, 0)


def test_a_node_that_was_given_notice_gets_no_new_tickets(make_config, cluster):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def give_notice():
        reason, deadline_ms = 2, int((time.time() + 100) * 1000)  # preemption
        GcsClient(address=cluster.address).drain_node(
            node.node_id, reason, "spot notice", deadline_ms
        )

    events = Events({10: lambda: in_the_midst(give_notice)})

    outcome, records, _ = train(config_on(make_config, cluster, 60), RecordingDisplay(events))

    assert seconds_until(events, 10, 1) < 10
    assert_equal_to_one_process(make_config, outcome, records)
    assert outcome.progress.worker_restarts == 0, "it was let go, not lost"
    assert outcome.progress.tickets.reissued == 0


class LearnerFarAway:
    """Has a state that is too large to travel with a message, on a node of its own."""

    def state(self):
        return np.zeros(100_000)

    @ray.method(num_returns=3)
    def update(self, trajectories):
        time.sleep(3600)


def test_a_state_that_vanishes_with_its_node_is_told_apart(cluster, interrupts):
    """The conductor then goes back to a checkpoint."""
    node = cluster.add_node(num_cpus=1, resources={"far": 1})
    ray.init(address=cluster.address)
    make_actor = ray.remote(LearnerFarAway).options(resources={"far": 1}).remote
    learner = RayLearner(lambda state: make_actor(), None, interrupts)
    assert ray.wait([learner._state], fetch_local=False, timeout=60)[0]
    in_the_midst(lambda: cluster.remove_node(node, allow_graceful=False))

    with pytest.raises(LearnerStateLostError, match="the learner's state was lost with its node"):
        learner.update([])
