"""Lanes of an environment that steps many copies of itself at once, such as CartPole's.

They give the same guarantees as single lanes with a simpler rule: in each round the first episode
of each lane counts, as fixed before it begins. What a lane does afterwards, until the round ends,
is not recorded and has no effect.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.configs.plurals import counted
from reinforce.learner.policies.distributions import Masks, make_distribution, masked
from reinforce.learner.policies.policy import Policy
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.closing import close_all
from reinforce.workers.environment import (
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    VectorFactory,
    make_vector_environment,
)
from reinforce.workers.environment_faults import (
    EnvironmentFaultError,
    InvalidMaskError,
    NonFiniteError,
)
from reinforce.workers.environment_source import Part, sources_in, where_in
from reinforce.workers.episode_limits import vector_limit
from reinforce.workers.episode_watch import EpisodeWatch
from reinforce.workers.finite_values import FiniteCheck
from reinforce.workers.info_metrics import InfoMetrics
from reinforce.workers.observations import (
    lane_masks,
    observation_rows,
    row_writer,
)
from reinforce.workers.placement import Placement
from reinforce.workers.seeds import action_generator, environment_seed, uniforms_shape
from reinforce.workers.spaces import ActionDecoder
from reinforce.workers.tickets import Ticket
from reinforce.workers.trajectory_builder import TrajectoryBuilder


class VectorLanes:
    """Plays tickets in rounds of ``num_lanes`` episodes, with one seed per round."""

    def __init__(
        self,
        config: EnvironmentConfig,
        spec: EnvironmentSpec,
        num_lanes: int,
        placement: Placement,
        make: VectorFactory = make_vector_environment,
    ) -> None:
        self._environment = make(config, num_lanes, placement)
        self._autoreset = autoreset_mode(config, self._environment)
        # With the start of the next episode; what stood there before is in ``info``.
        self._replaces_ends = self._autoreset is AutoresetMode.SAME_STEP
        self._spec = spec
        self._decoder = ActionDecoder(spec.action)
        self._num_lanes = num_lanes
        self.limit = vector_limit(config)
        """Steps after which the environment should end an episode; None if none is known."""

    def play(
        self, policy: Policy, ticket: Ticket, metrics: InfoMetrics, watch: EpisodeWatch
    ) -> Trajectories:
        """Play all episodes of the ticket, and return them in order.

        An episode longer than the watch allows is cut, as by a time limit.

        Raises:
            NonFiniteError: An observation that the policy would act on, or a reward, is not finite.
        """
        builder = TrajectoryBuilder(ticket.num_episodes, self._spec)
        for first in range(0, ticket.num_episodes, self._num_lanes):
            count = min(self._num_lanes, ticket.num_episodes - first)
            try:
                self._play_round(policy, ticket, first, count, builder, metrics, watch)
            except SystemExit as error:  # it would end the worker, and nobody would hear why
                text = f"the environment raises SystemExit: {error}".removesuffix(": ")
                fault = EnvironmentFaultError(text).with_traceback(error.__traceback__)
                fault.add_note(self._place(ticket, first, count, builder))
                raise fault from None
            except NonFiniteError:  # which names its episode
                raise
            except Exception as error:
                error.add_note(self._place(ticket, first, count, builder))
                raise
        return builder.trajectories(policy.version)

    def where(self, step: int, part: Part) -> str:
        """Return words for a step, with the place of the environment's code; 0 is the reset."""
        return where_in(self._environment, step, part)

    def close(self) -> list[str]:
        """Close the environment; return sentences about errors."""
        return close_all([self._environment])

    def _play_round(
        self,
        policy: Policy,
        ticket: Ticket,
        first: int,
        count: int,
        builder: TrajectoryBuilder,
        metrics: InfoMetrics,
        watch: EpisodeWatch,
    ) -> None:
        seed = ticket.episode_seeds[first]
        observations, info = self._environment.reset(seed=environment_seed(seed))
        generator = action_generator(seed)
        live = np.arange(count)
        all_actions = np.zeros_like(self._spec.action.empty(self._num_lanes))
        none_ended = np.zeros(self._num_lanes, np.bool_)
        self._keep_idle_going(live, observations, info, none_ended, all_actions)
        check = FiniteCheck(ticket, self._spec.observation, self.where)
        seen = observation_rows(self._spec.observation, observations)[live]
        check.see(seen, lambda row: (first + row, 0))
        policy.begin(count)
        watch.begin(count)
        while len(live) > 0:
            masks = lane_masks(self._spec, observations, info, live)
            actions, parameters = self._act(policy, ticket, seen, masks, generator)
            all_actions[live] = actions
            observations, rewards, terminated, truncated, info = self._environment.step(
                self._decoder.batch(all_actions)
            )
            following = observation_rows(self._spec.observation, observations)[live]
            ended, episodes = terminated[live] | truncated[live], live + first
            over = np.flatnonzero(ended).tolist()
            check.step(following, rewards[live], over, episodes, builder)
            builder.add_steps(episodes, seen, masks, actions, parameters, rewards[live])
            if info:
                finals = info.get("final_info") if self._replaces_ends else info
                metrics.add_lanes(first, live, terminated | truncated, info, finals)
            if ended.any():
                finals = self._final_rows(observations, info, live[ended])
                for lane, final in zip(live[ended], finals, strict=True):
                    ends = {"terminated": terminated[lane], "truncated": truncated[lane]}
                    builder.end_episode(first + lane, final, **ends)
                live, following = live[~ended], following[~ended]
                policy.keep(~ended)
            if len(live) > 0 and watch.tick():
                _cut(live + first, following, builder, watch)
                live = live[:0]
            if len(live) > 0:
                self._keep_idle_going(live, observations, info, terminated | truncated, all_actions)
            seen = following

    def _act(
        self,
        policy: Policy,
        ticket: Ticket,
        seen: NDArray[Any],
        masks: Masks,
        generator: np.random.Generator,
    ) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        if ticket.greedy:
            return policy.act_greedily(seen, masks), None
        uniforms = generator.random((len(seen), *uniforms_shape(self._spec.action)))
        return policy.act(seen, policy.noise(uniforms), masks)

    def _final_rows(
        self, observations: Any, info: dict[str, Any], lanes: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the final observations."""
        finals = info["final_obs"] if self._replaces_ends else observations
        if isinstance(finals, np.ndarray) and finals.dtype == object:  # one observation per lane
            rows = self._spec.observation.empty(len(lanes))
            write = row_writer(self._spec.observation, rows)
            for position, lane in enumerate(lanes):
                write(position, finals[lane])
            return rows
        return observation_rows(self._spec.observation, finals)[lanes]

    def _place(self, ticket: Ticket, first: int, count: int, builder: TrajectoryBuilder) -> str:
        episodes = range(first, first + count)
        num_steps = max(map(builder.num_steps_of, episodes))
        seed = environment_seed(ticket.episode_seeds[first])
        return (
            f"This was after {counted(num_steps, 'step')} of the episodes {first} to "
            f"{episodes[-1]} of ticket {ticket}, which the vector implementation of the "
            f"environment ({sources_in(self._environment, num_steps + 1)}) plays together, "
            f"begun with reset(seed={seed})."
        )

    def _keep_idle_going(
        self,
        live: NDArray[np.int64],
        observations: Any,
        info: dict[str, Any],
        ended: NDArray[np.bool_],
        all_actions: NDArray[Any],
    ) -> None:
        """Handle lanes that are not recorded: allowed actions, and no step after an end."""
        if self._spec.action_mask:
            idle = np.setdiff1d(np.arange(self._num_lanes), live)
            self._write_idle_actions(idle, observations, info, all_actions)
        if self._autoreset is AutoresetMode.DISABLED and ended.any():
            observations, info = self._environment.reset(options={"reset_mask": ended})
            if self._spec.action_mask:
                lanes = np.flatnonzero(ended)
                self._write_idle_actions(lanes, observations, info, all_actions)

    def _write_idle_actions(
        self,
        lanes: NDArray[np.int64],
        observations: Any,
        info: dict[str, Any],
        all_actions: NDArray[Any],
    ) -> None:
        distribution = make_distribution(self._spec.action)
        zeros = np.zeros((1, self._spec.action.num_choices), np.float32)
        for lane in lanes.tolist():
            with suppress(InvalidMaskError):  # nothing is asked of a lane that waits
                mask = lane_masks(self._spec, observations, info, [lane])
                all_actions[lane] = distribution.mode(masked(zeros, mask))[0]


def _cut(
    episodes: NDArray[np.int64],
    last: NDArray[Any],
    builder: TrajectoryBuilder,
    watch: EpisodeWatch,
) -> None:
    """End the episodes that have reached the limit: all of a round began together."""
    for episode, observation in zip(episodes.tolist(), last, strict=True):
        builder.end_episode(episode, observation, terminated=False, truncated=True)
    watch.num_cut += len(episodes)


def autoreset_mode(
    config: EnvironmentConfig, environment: VectorEnv[Any, Any, Any]
) -> AutoresetMode:
    """Return a vector environment's autoreset mode, or refuse one that does not declare it."""
    mode = environment.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise UnsuitableEnvironmentError(
            f"environment.id = {config.id!r}: the metadata of its vector implementation says "
            f"autoreset_mode {mode!r}, which is not one of gymnasium.vector.AutoresetMode; set "
            "environment.use_vector_implementation to false"
        )
    return mode
