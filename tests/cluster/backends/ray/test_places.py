"""Where a run's processes live on a cluster whose head has no CPUs, as the pages advise."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
import ray
from processes import wait_for
from ray._private.state import state
from ray_nodes import ray_nodes

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.capacity import room_in_words
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.workers.environment import inspect_environment

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def nodes():
    """Nodes that have, as it seems, another version of Gymnasium than this process."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        about = Path(folder, "packages", "gymnasium-0.0.1.dist-info", "METADATA")
        about.parent.mkdir(parents=True)
        about.write_text("Metadata-Version: 2.1\nName: gymnasium\nVersion: 0.0.1\n")
        settings = {"PYTHONPATH": str(about.parent.parent)}
        with ray_nodes(Path(folder), settings=settings) as nodes:
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
    told = []
    with open_backend(config, spec, Driver(interrupts, tell=told.append)) as backend:
        learner = backend.learner
        for _ in range(3):  # Ray tries nodes at random
            ray.kill(learner._actor)
            learner.weights()

        assert places_of("LearnerActor") == {ray.get_runtime_context().get_node_id()}
        assert ray.get_runtime_context().get_node_id() not in places_of("RolloutActor")
        while backend.pool.workers_alive < 2:
            backend.pool.keep_busy()

    warnings = [sentence for sentence in told if sentence.startswith("warning: the node ")]
    assert len(warnings) == 1, "of two workers"
    assert f"has gymnasium 0.0.1 instead of {version('gymnasium')}; " in warnings[0]


def test_cpus_that_a_run_has_are_not_those_that_it_lacks(nodes, make_config, without_shared_ray):
    """Not even before there is a process, as Ray takes seconds to start one."""

    class Holder:
        """An actor that is there, and travels as it is."""

    config = make_config(cluster={"backend": "ray", "address": nodes.address})
    ray.init(address=nodes.address)
    try:
        holders = [ray.remote(Holder).options(num_cpus=1).remote() for _ in range(3)]
        said = wait_for(lambda: room_in_words(len(holders), config))
        assert said == "1 CPU asked, 0 free"
        ray.kill(holders.pop())
        wait_for(lambda: not room_in_words(len(holders), config))
    finally:
        ray.shutdown()
