"""The actors: learner and worker as they are, in processes of their own.

They are imported by name in every actor process, so this module stays light: Torch is loaded where
the learner lives and nowhere else.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import ray

from reinforce.cluster.backends.ray.breakpoints import refuse_breakpoints
from reinforce.cluster.backends.ray.other_learners import News, OtherLearners, kind_of_here
from reinforce.cluster.backends.ray.plain_values import plain_report, ticket_from_plain
from reinforce.cluster.backends.ray.versions import versions_here
from reinforce.cluster.backends.ray.worker_output import WorkerOutput
from reinforce.configs.config import Config
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, UpdateReport
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.placement import ALONE, Placement
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose

if TYPE_CHECKING:
    from reinforce.learner.gradient import GradientTask, GroupGradient

_WORKER_NICENESS = 4
"""Workers yield to the learner and the driver on a busy machine: everyone waits for those two."""

_FETCH_TIMEOUT_S = 300.0
"""For the trajectories of a batch to arrive; they are complete, so this is the network alone."""


def _fetched(reference: Any) -> Any:
    return ray.get(reference, timeout=_FETCH_TIMEOUT_S)


class WrongVersionError(Exception):
    """The learner has not the version that an update is for."""


class RolloutActor:
    """A rollout worker in a process of its own.

    Args:
        config: What is played.
        spec: Its spaces.
        program: The user's.
        placement: Where its first instance stands.
        debugger: The user's choice (``breakpoints.users_choice``).
    """

    _output: WorkerOutput | None = None

    def __init__(
        self,
        config: Config,
        spec: EnvironmentSpec,
        program: UserProgram,
        placement: Placement = ALONE,
        debugger: str = "",
    ) -> None:
        os.nice(_WORKER_NICENESS)
        refuse_breakpoints(debugger)
        if config.workers.show_output:
            self._output = WorkerOutput(placement.worker_index)
            self._output.begin()
        program.adopt(_fetched)  # the user's environments may be there
        self._worker = RolloutWorker(config, spec, placement=placement)
        self._worker.open()  # a simulator that starts slowly costs no ticket its time
        if self._output:
            self._output.begin_tickets()

    def ready(self) -> tuple[str, dict[str, str]]:
        """Return id and versions of the node, once environments are there, as after a failure."""
        self._worker.open()
        return str(ray.get_runtime_context().get_node_id()), versions_here()

    @ray.method(num_returns=2)  # type: ignore[untyped-decorator]
    def play(
        self, ticket_values: list[Any], weights: Weights
    ) -> tuple[list[Any], Trajectories | None]:
        """Play a ticket. Only what is learned from is sent on; an evaluation needs the report."""
        ticket = ticket_from_plain(ticket_values)
        with self._output.of_ticket(ticket) if self._output else nullcontext():
            report, trajectories = self._worker.play(ticket, weights)
        is_learned_from = ticket.purpose is Purpose.TRAINING
        return plain_report(report), trajectories if is_learned_from else None

    def close(self) -> None:
        """Release the environments, whatever their ``close`` raises."""
        self._worker.close()
        if self._output:
            self._output.end()


SIGNS_OF_LIFE = {"signs": 1}
"""The concurrency group of a learner's actor, with a thread that answers while it works."""


class LearnerActor:
    """The learner in a process of its own."""

    def __init__(
        self,
        config: Config,
        spec: EnvironmentSpec,
        state: LearnerState | None,
        program: UserProgram,
        debugger: str = "",
    ) -> None:
        refuse_breakpoints(debugger)
        program.adopt(_fetched)  # the user's policies may be there
        from reinforce.learner.learner import Learner

        self._others = None
        if config.learner.num_learners > 1:
            # Owned by this process, so that they end with it.
            actor = ray.remote(GradientActor).options(
                num_cpus=0,
                num_gpus=config.learner.gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            )
            self._others = OtherLearners(
                lambda: actor.remote(config, spec, program, debugger),
                config.learner.num_learners - 1,
                kind_of_here(config.learner.device),
            )
        architecture = architecture_of(config, spec)
        self._learner = Learner(config.learner, architecture, config.run.seed, self._others)
        if state:
            self._learner.load_state(state)

    @ray.method(concurrency_group="signs")  # type: ignore[untyped-decorator]
    def sign_of_life(self) -> None:
        """Return, whatever else is going on."""

    def weights(self) -> Weights:
        """Return the current weights."""
        return self._learner.weights()

    @ray.method(num_returns=4)  # type: ignore[untyped-decorator]
    def update(
        self, trajectories: Sequence["ray.ObjectRef[Trajectories]"], version: int
    ) -> tuple[UpdateReport, Weights, LearnerState | None, News]:
        """Fetch the trajectories from where they lie and apply one update to this version.

        The state goes along because it must outlive this process, unless a fit is due that others
        need not wait for.

        Raises:
            WrongVersionError: The learner has another version, since an update before this failed.
        """
        if self._learner.version != version:
            raise WrongVersionError(f"it has version {self._learner.version} and not {version}")
        batch = ray.get(list(trajectories), timeout=_FETCH_TIMEOUT_S)
        report, weights = self._learner.update(batch)
        state = None if report.is_fit_due else self._learner.state()
        return report, weights, state, self._others.news() if self._others else News()

    def state(self) -> LearnerState:
        """Return what a checkpoint has to hold, once everything is fitted."""
        return self._learner.state()


class GradientActor:
    """One of the other learners in a process of its own (``other_learners``)."""

    def __init__(
        self, config: Config, spec: EnvironmentSpec, program: UserProgram, debugger: str = ""
    ) -> None:
        refuse_breakpoints(debugger)
        program.adopt(_fetched)
        from reinforce.learner.gradient import Differentiator

        self._device = config.learner.device
        self._differentiator = Differentiator(config.learner, architecture_of(config, spec))

    def kind(self) -> dict[str, str]:
        """Return what decides the bits of a gradient here (``other_learners``)."""
        return kind_of_here(self._device)

    def gradients(self, task: "GradientTask", weights: Any) -> "list[GroupGradient]":
        """Return the contribution of each group of the task."""
        return self._differentiator.gradients(task, weights)
