"""The worker: environments in lanes and a copy of the policy. It has no state worth saving."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights
from reinforce.workers.closing import Closing
from reinforce.workers.environment import (
    EnvironmentFactory,
    EnvironmentSpec,
    VectorFactory,
    make_environment,
    make_vector_environment,
    with_vector_implementation,
)
from reinforce.workers.episode_limits import evaluation_limit
from reinforce.workers.episode_watch import EpisodeWatch, OnPulse
from reinforce.workers.finite_values import FiniteCheck
from reinforce.workers.info_metrics import InfoMetrics
from reinforce.workers.observations import num_unknown
from reinforce.workers.placement import ALONE, Placement
from reinforce.workers.single_lanes import SingleLanes
from reinforce.workers.tickets import Purpose, Ticket
from reinforce.workers.vector_lanes import VectorLanes


@dataclass(frozen=True, eq=False)
class RolloutReport:
    """What the coordinator needs to know about a played ticket, small enough to travel inline.

    Attributes:
        ticket: The ticket that was played.
        policy_version: Version of the weights that played it.
        episode_returns: [E] undiscounted, in the environment's unit.
        episode_lengths: [E] steps.
        episode_log_probs: [E] mean log-probability (nats) of an episode's actions under the policy
            that played it.
        truncated: [E] whether a time limit ended the episode.
        num_cut: How many of these the environment would have continued.
        num_unknown: Steps with a category outside its space.
        trajectories_sha256: Digest of every recorded bit.
        rollout_s: Seconds spent playing.
        episode_metrics: By name, [E] values from ``info`` for each episode, NaN where missing; only
            names with a value.
        metric_faults: By name, a value in ``info`` that was not a finite number.
    """

    ticket: Ticket
    policy_version: int
    episode_returns: NDArray[np.float64]
    episode_lengths: NDArray[np.int64]
    episode_log_probs: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    num_cut: int
    num_unknown: int
    trajectories_sha256: str
    rollout_s: float
    episode_metrics: Mapping[str, NDArray[np.float64]]
    metric_faults: Mapping[str, str]


class RolloutWorker:
    """Plays tickets one at a time, each with its own weights.

    A separate environment for evaluations is kept beside that of training.
    """

    def __init__(
        self,
        config: Config,
        spec: EnvironmentSpec,
        make: EnvironmentFactory = make_environment,
        placement: Placement = ALONE,
        make_vector: VectorFactory = make_vector_environment,
    ) -> None:
        """Store the settings, without making environments yet.

        Args:
            config: The configuration of the run.
            spec: The training environment's description.
            make: Makes single environments.
            placement: The place of the first instance.
            make_vector: Makes vector implementations.
        """
        # One BLAS thread: workers share the machine, and the batches are small.
        threadpool_limits(1)
        self._config = config
        self._spec = spec
        self._make, self._make_vector = make, make_vector
        self._policy = make_policy(architecture_of(config, spec))
        self._evaluation_environment = config.evaluation_environment
        self._evaluates_elsewhere = self._evaluation_environment != config.environment
        self._placement = placement
        self._lanes: dict[bool, SingleLanes | VectorLanes] = {}
        """Lanes for training; under True, those for a separate evaluation environment."""

    def play(
        self,
        ticket: Ticket,
        weights: Weights,
        on_pulse: OnPulse = lambda num_steps, seconds: None,
    ) -> tuple[RolloutReport, Trajectories]:
        """Play every episode of the ticket with these weights.

        Args:
            ticket: What to play. In evaluations, endless episodes are cut.
            weights: The policy's weights.
            on_pulse: Called a few times a second with the steps and seconds of the longest episode
                in play; an error in it ends the ticket.

        Raises:
            NonFiniteError: The environment gave a NaN or an infinity.
            EnvironmentFaultError: It returned something of the wrong form.
            Exception: Whatever the environment raises, with a note on where it happened. The
                environments are then made again for the next ticket, because their state is
                unknown.
        """
        started = time.perf_counter()
        if weights.version != self._policy.version:
            self._policy.load(weights)
        is_evaluation = ticket.purpose is not Purpose.TRAINING
        lanes = self._lanes_of(is_other=is_evaluation and self._evaluates_elsewhere)
        metrics = InfoMetrics(self._config.environment.metrics, ticket.num_episodes)
        watch = EpisodeWatch(self._max_steps(ticket, lanes.limit), on_pulse)
        try:
            # What is not finite is named by ticket and step, instead of warned about.
            with np.errstate(invalid="ignore", over="ignore"):
                trajectories = lanes.play(self._policy, ticket, metrics, watch)
        except BaseException as error:
            for complaint in self.close():
                error.add_note(f"After that, {complaint}.")
            raise
        if self._config.learner.truncation == "bootstrap":
            FiniteCheck(ticket, self._spec.observation, lanes.where).ends(trajectories)
        return RolloutReport(
            ticket=ticket,
            policy_version=trajectories.policy_version,
            episode_returns=trajectories.episode_returns,
            episode_lengths=trajectories.episode_lengths,
            episode_log_probs=trajectories.episode_log_probs,
            truncated=trajectories.truncated,
            num_cut=watch.num_cut,
            num_unknown=num_unknown(self._spec.observation, trajectories.observations),
            trajectories_sha256=trajectories.sha256,
            rollout_s=time.perf_counter() - started,
            episode_metrics=metrics.values(),
            metric_faults=metrics.faults,
        ), trajectories

    def open(self) -> None:
        """Make the environments now instead of for the first ticket.

        Raises:
            Exception: Whatever a constructor raises.
        """
        self._lanes_of(is_other=False)
        if self._evaluates_elsewhere:
            self._lanes_of(is_other=True)

    def close(self) -> list[str]:
        """Release the environments, and return sentences about errors in ``close``."""
        lanes, self._lanes = self._lanes, {}
        return [complaint for each in lanes.values() for complaint in each.close()]

    def _max_steps(self, ticket: Ticket, known: int | None) -> float:
        if ticket.purpose is Purpose.TRAINING:
            return float("inf")  # whatever is learned from is played to its end
        return evaluation_limit(self._config, self._spec, known)

    def _lanes_of(self, *, is_other: bool) -> SingleLanes | VectorLanes:
        if is_other not in self._lanes:
            played = self._evaluation_environment if is_other else self._config.environment
            self._lanes[is_other] = self._make_lanes(played, is_other=is_other)
        return self._lanes[is_other]

    def _make_lanes(
        self, environment: EnvironmentConfig, *, is_other: bool
    ) -> SingleLanes | VectorLanes:
        workers = self._config.workers
        num_lanes = min(workers.envs_per_worker, workers.episodes_per_ticket)
        # Both environments are open at once, so no two instances have the same number.
        first = num_lanes if is_other else 0
        places = [
            replace(self._placement, instance_index=index)
            for index in range(first, first + num_lanes)
        ]
        spec = self._spec
        if is_other:  # the lanes of training are open: it is tried where its own will stand
            spec = with_vector_implementation(environment, spec, places[0])
        if environment.use_vector_implementation and spec.has_vector_implementation:
            return VectorLanes(environment, spec, num_lanes, places[0], self._make_vector)
        with Closing() as closing:
            made = [closing.add(self._make(environment, place)) for place in places]
            closing.keep_open()
        return SingleLanes(made, spec)


def architecture_of(config: Config, spec: EnvironmentSpec) -> PolicyArchitecture:
    """Return everything about the policy but its weights."""
    policy = config.policy
    return PolicyArchitecture(
        observation=spec.observation,
        action=spec.action,
        hidden_sizes=policy.hidden_sizes,
        activation=policy.activation,
        kind=policy.kind,
        normalize_observations=policy.normalize_observations,
        arguments=policy.arguments,
        channels=policy.channels,
    )
