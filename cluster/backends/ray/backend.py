"""The Ray backend: one learner actor and N rollout actors; this process owns all references."""

from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.actor import ActorClass
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from reinforce.cluster.backends.backend import Backend, Driver
from reinforce.cluster.backends.ray.actors import SIGNS_OF_LIFE, LearnerActor, RolloutActor
from reinforce.cluster.backends.ray.breakpoints import users_choice
from reinforce.cluster.backends.ray.capacity import WorkerTarget, require_room
from reinforce.cluster.backends.ray.learner import RayLearner
from reinforce.cluster.backends.ray.object_store import batches_bytes
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.cluster.backends.ray.session import ray_session
from reinforce.cluster.backends.ray.worker_output import shown_output
from reinforce.configs.config import Config
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec

_CPUS_ON_LOCAL_RAY = 0.001
"""A local Ray is ours alone: more workers than cores are the user's choice, not to be queued."""


@contextmanager
def ray_backend(
    config: Config,
    spec: EnvironmentSpec,
    driver: Driver,
    state: LearnerState | None,
) -> Iterator[Backend]:
    """Yield a backend on the cluster that the configuration names.

    Raises:
        ClusterUnreachableError: The cluster cannot be joined.
        HeadLostError: Its head does not answer any more.
        LocalRayError: A local Ray does not start.
        UsageError: It has no room for a single worker, or no GPU for the learner, and no
            autoscaler.
    """
    with (
        ray_session(config, driver, batches_bytes(config, spec)) as session,
        shown_output(config.workers, driver.print_line) as show_output,
    ):
        if config.cluster.address:
            require_room(config)
        learner_actor, rollout_actor = _learner_actor(config), _rollout_actor(config)
        names = config.environment.id, config.evaluation_environment.id, config.policy.kind
        program, debugger = UserProgram.of_this_process(names, ray.put), users_choice()
        # The learner first: it imports Torch, which takes longest.
        learner = RayLearner(
            lambda state: learner_actor.remote(config, spec, state, program, debugger),
            state,
            driver,
            config.cluster.room_timeout_s,
        )

        def look_out() -> None:
            session.check()
            show_output()

        pool = RayPool(
            config,
            WorkerTarget(config, driver.requested_workers, driver.tell, session.check_head),
            lambda placement: rollout_actor.remote(config, spec, program, placement, debugger),
            driver,
            look_out,
        )
        learner.while_waiting = pool.keep_busy
        try:
            pool.wait_until_ready()
            learner.weights()
            yield Backend(pool, learner)
        finally:
            pool.tell_incidents(at_once=True)
            pool.close()


def _rollout_actor(config: Config) -> "ActorClass[RolloutActor]":
    """Return the actor's class with what it needs, and where it is placed."""
    is_local = config.cluster.address is None
    return ray.remote(RolloutActor).options(
        num_cpus=_CPUS_ON_LOCAL_RAY if is_local else config.cluster.cpus_per_worker,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy="SPREAD",
    )


def _learner_actor(config: Config) -> "ActorClass[LearnerActor]":
    """Return the actor's class with what it needs, and where it is placed.

    No CPU of its own in Ray's books: it works while the workers wait for its weights. On the
    driver's node, which must live anyway; with a GPU wherever one is free. Actors are replaced
    here, never restarted by Ray: an update must not be applied twice.
    """
    num_gpus = config.learner.gpus
    # Not soft: Ray asks a random node to place an actor without CPUs, and soft lets it stay there.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(concurrency_groups=SIGNS_OF_LIFE)(LearnerActor).options(
        num_cpus=0,
        num_gpus=num_gpus,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy="DEFAULT" if num_gpus else here,
    )
