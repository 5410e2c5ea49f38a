"""The actors of the Ray backend, for one configuration after the other in the same few processes.

A process with Torch takes seconds to start, and a test over a hundred configurations has no time
for two hundred. What runs in them is the real thing; only the processes are used again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from reinforce.cluster.backends.backend import Backend
from reinforce.cluster.backends.ray.actors import SIGNS_OF_LIFE, LearnerActor, RolloutActor
from reinforce.cluster.backends.ray.capacity import WorkerTarget
from reinforce.cluster.backends.ray.learner import RayLearner
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.configs.given_objects import UserProgram
from reinforce.workers.rollout_worker import RolloutWorker


class ReusedRolloutActor(RolloutActor):
    """Begins anew when it is told to."""

    def __init__(self) -> None:
        """Wait to begin."""

    def begin(self, config: Any, spec: Any, placement: Any) -> None:
        if hasattr(self, "_worker"):
            self._worker.close()
        self._worker = RolloutWorker(config, spec, placement=placement)


class ReusedLearnerActor(LearnerActor):
    """Begins anew when it is told to."""

    def __init__(self) -> None:
        """Wait to begin."""

    def begin(self, config: Any, spec: Any, state: Any) -> None:
        LearnerActor.__init__(self, config, spec, state, UserProgram.of_this_process())


class ReusedActors:
    """A learner and workers on the Ray of this process, and backends made of them."""

    def __init__(self, num_workers: int) -> None:
        learner, worker = (
            ray.remote(concurrency_groups=SIGNS_OF_LIFE)(ReusedLearnerActor),
            ray.remote(ReusedRolloutActor),
        )
        self._learner = learner.options(num_cpus=0).remote()
        self._workers = [worker.options(num_cpus=0).remote() for _ in range(num_workers)]

    @contextmanager
    def backend(self, config: Any, spec: Any, driver: Any, state: Any) -> Iterator[Backend]:
        """Yield a backend, as ``open_backend`` does; the one before is over."""
        idle = iter(self._workers)

        def begun_learner(state: Any) -> Any:
            ray.get(self._learner.begin.remote(config, spec, state))
            return self._learner

        def begun_worker(placement: Any) -> Any:
            worker = next(idle)
            ray.get(worker.begin.remote(config, spec, placement))
            return worker

        learner = RayLearner(begun_learner, state, driver)
        pool = RayPool(config, WorkerTarget(config, lambda: None), begun_worker, driver)
        learner.while_waiting = pool.keep_busy
        pool.wait_until_ready()
        yield Backend(pool, learner)
