"""Where a run's processes live on a cluster whose head has no CPUs, as the pages advise."""

import tempfile
from pathlib import Path

import pytest
import ray
from ray._private.state import state
from ray_nodes import ray_nodes

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.workers.environment import inspect_environment

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def nodes():
    with tempfile.TemporaryDirectory(prefix="r") as folder, ray_nodes(Path(folder)) as nodes:
        yield nodes


def places_of(class_name):
    return {
        actor["Address"]["NodeID"]
        for actor in state.actor_table(None).values()
        if actor["ActorClassName"] == class_name
    }


def test_the_learner_is_on_the_node_of_the_driver_also_after_it_was_lost(
    nodes, make_config, interrupts, without_shared_ray
):
    config = make_config(
        cluster={"backend": "ray", "address": nodes.address}, workers={"num_workers": 2}
    )
    spec = inspect_environment(config.environment)
    with open_backend(config, spec, Driver(interrupts)) as backend:
        learner = backend.learner
        for _ in range(3):  # Ray tries nodes at random
            ray.kill(learner._actor)
            learner.weights()

        assert places_of("LearnerActor") == {ray.get_runtime_context().get_node_id()}
        assert ray.get_runtime_context().get_node_id() not in places_of("RolloutActor")
