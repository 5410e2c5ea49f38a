"""The actors of the Ray backend, for one configuration after the other in the same two processes.

A process with Torch takes seconds to start, and a test over a hundred configurations has no time
for two hundred. What runs in them is the real thing; only the processes are used again.
"""

from typing import Any

import ray

from reinforce.cluster.backends.backend import Backend, Driver
from reinforce.cluster.backends.ray.actors import LearnerActor, RolloutActor
from reinforce.cluster.backends.ray.capacity import WorkerTarget
from reinforce.cluster.backends.ray.learner import RayLearner
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.cluster.interrupts import Interrupts
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker


class ReusedRolloutActor(RolloutActor):
    """Begins anew when it is told to."""

    def __init__(self) -> None:
        """Wait to begin."""

    def begin(self, config: Any, spec: Any) -> None:
        if hasattr(self, "_worker"):
            self._worker.close()
        self._worker = RolloutWorker(config, spec)


class ReusedLearnerActor(LearnerActor):
    """Begins anew when it is told to."""

    def __init__(self) -> None:
        """Wait to begin."""

    def begin(self, config: Any, spec: Any, state: Any) -> None:
        LearnerActor.__init__(self, config, spec, state, "")


class ReusedActors:
    """A learner and a worker on the Ray of this process, and backends made of them."""

    def __init__(self) -> None:
        learner, worker = ray.remote(ReusedLearnerActor), ray.remote(ReusedRolloutActor)
        self._learner = learner.options(num_cpus=0).remote()
        self._worker = worker.options(num_cpus=0).remote()

    def backend(self, config: Any) -> Backend:
        """Return the backend for a configuration with one worker; the one before is over."""
        spec, driver = inspect_environment(config.environment), Driver(Interrupts())

        def begun_learner(state: Any) -> Any:
            ray.get(self._learner.begin.remote(config, spec, state))
            return self._learner

        def begun_worker() -> Any:
            ray.get(self._worker.begin.remote(config, spec))
            return self._worker

        learner = RayLearner(begun_learner, None, driver)
        pool = RayPool(config.workers, WorkerTarget(config, lambda: None), begun_worker, driver)
        learner.while_waiting = pool.keep_busy
        pool.wait_until_ready()
        return Backend(pool, learner)
