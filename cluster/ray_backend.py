"""The Ray backend: one learner actor and N rollout actors; this process owns all references."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from cluster.backend import Backend
from cluster.errors import LearnerLostError, without_colours
from cluster.interrupts import Interrupts
from cluster.ray_actors import LearnerActor, RolloutActor
from cluster.ray_pool import RayPool
from cluster.ray_session import ray_session
from configs.config import Config
from learner.learner_state import LearnerState
from learner.update_report import UpdateReport
from learner.weights import Weights
from workers.environment import EnvironmentSpec

_POLL_S = 0.2
_LEARNER_TIMEOUT_S = 600.0
"""For one call of the learner, its start included."""


class RayLearner:
    """The learner actor, behind the names that the loop uses."""

    def __init__(self, config: Config, spec: EnvironmentSpec, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        # No CPU of its own in Ray's books: it works while the workers wait for its weights.
        # Never retried: an update must not be applied twice.
        actor = ray.remote(LearnerActor).options(num_cpus=0, max_restarts=0, max_task_retries=0)
        self._actor = actor.remote(config, spec)

    def weights(self) -> "ray.ObjectRef[Weights]":
        """Return a reference to the current weights."""
        reference: ray.ObjectRef[Weights] = self._actor.weights.remote()
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            self._interrupts.check()
        self._get(reference, "weights")  # the learner is up, or says why not
        return reference

    def update(self, trajectories: Sequence[Any]) -> tuple[UpdateReport, "ray.ObjectRef[Weights]"]:
        """Apply one update; return what it did and a reference to the new weights."""
        report, weights = self._actor.update.remote(list(trajectories))
        return self._get(report, "update"), weights

    def state(self) -> LearnerState:
        """Return what a checkpoint has to hold."""
        state: LearnerState = self._get(self._actor.state.remote(), "state")
        return state

    def fetch(self, weights: "ray.ObjectRef[Weights]") -> Weights:
        """Return the weights behind a reference."""
        fetched: Weights = self._get(weights, "weights")
        return fetched

    @staticmethod
    def _get(reference: Any, call: str) -> Any:
        try:
            return ray.get(reference, timeout=_LEARNER_TIMEOUT_S)
        except GetTimeoutError:
            raise LearnerLostError(
                f"the learner has not answered {call!r} for {_LEARNER_TIMEOUT_S:.0f} s"
            ) from None
        except RayTaskError as error:
            text = without_colours(str(error))
            raise LearnerLostError(f"the learner failed in {call!r}: {text}") from error
        except RayError as error:
            raise LearnerLostError(f"the learner was lost in {call!r}: {error}") from error


@contextmanager
def ray_backend(config: Config, spec: EnvironmentSpec, interrupts: Interrupts) -> Iterator[Backend]:
    """Yield a backend on the cluster that the configuration names.

    Raises:
        ClusterUnreachableError: The cluster cannot be joined.
    """
    with ray_session(config, interrupts):
        # The learner first: it imports Torch, which takes longest.
        learner = RayLearner(config, spec, interrupts)
        rollout_actor = ray.remote(RolloutActor).options(
            num_cpus=config.cluster.cpus_per_worker,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        pool = RayPool(
            config.workers,
            _number_of_workers(config),
            lambda: rollout_actor.remote(config, spec, str(Path.cwd())),
            interrupts,
        )
        pool.wait_until_ready()
        yield Backend(pool, learner)


def _number_of_workers(config: Config) -> int:
    if config.workers.num_workers != "auto":
        return config.workers.num_workers
    cpus = ray.cluster_resources().get("CPU", 0.0)
    return max(1, int(cpus / config.cluster.cpus_per_worker))
