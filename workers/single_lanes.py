"""Lanes of single environments, stepped one after the other with one call of the policy per step.

The rule that keeps the gradient unbiased: every started episode is finished and recorded. A free
lane may *start* the ticket's next episode; nothing decides whether to *keep* one.
"""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.policy import Policy
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.closing import close_all
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.environment_faults import NOTHING, check_flags, note_place
from reinforce.workers.environment_source import Part, where_in
from reinforce.workers.episode_limits import limit_of
from reinforce.workers.episode_watch import EpisodeWatch
from reinforce.workers.finite_values import FiniteCheck
from reinforce.workers.info_metrics import InfoMetrics
from reinforce.workers.observations import ObservationRows
from reinforce.workers.seeds import EpisodeNoise, environment_seed, uniforms_shape
from reinforce.workers.spaces import ActionDecoder
from reinforce.workers.tickets import Ticket
from reinforce.workers.trajectory_builder import TrajectoryBuilder


class SingleLanes:
    """Plays tickets in its own environments; only those with an episode in play are stepped."""

    def __init__(self, environments: list[gymnasium.Env[Any, Any]], spec: EnvironmentSpec) -> None:
        self._environments = environments
        self._spec = spec
        self._decoder = ActionDecoder(spec.action)
        self._writes_at_once: bool | None = None
        """Whether lanes' observations are written together; None until a ticket's first step."""
        self.limit = limit_of(environments[0])
        """Steps after which the environments end an episode; None if there is no limit."""

    def play(
        self, policy: Policy, ticket: Ticket, metrics: InfoMetrics, watch: EpisodeWatch
    ) -> Trajectories:
        """Play all episodes of the ticket, each with its own seed, and return them in order.

        An episode longer than the watch allows is cut, as by a time limit.

        Raises:
            NonFiniteError: An observation that the policy would act on, or a reward, is not finite.
        """
        check = FiniteCheck(ticket, self._spec.observation, self.where)
        builder = TrajectoryBuilder(ticket.num_episodes, self._spec)
        lanes = self._environments[: ticket.num_episodes]
        episodes = np.arange(len(lanes))  # what each lane plays
        unplayed = iter(range(len(lanes), ticket.num_episodes))
        noise = EpisodeNoise(len(lanes), uniforms_shape(self._spec.action), policy.noise)
        # Used in turn: what was seen is recorded when what follows has been written.
        seen, following = (ObservationRows(self._spec, len(lanes)) for _ in range(2))
        self._writes_at_once = None
        policy.begin(len(lanes))
        watch.begin(len(lanes))
        for row, lane in enumerate(lanes):
            _begin(lane, ticket, row, row, seen, noise, check)
        while lanes:
            actions, parameters = _act(policy, ticket, seen, noise)
            rewards, ended = self._step(
                ticket, lanes, episodes, actions, builder, following, metrics
            )
            if watch.tick():
                ended = _cut(watch, episodes, ended, builder, following)
            check.step(following.observations, rewards, ended, episodes, builder)
            builder.add_steps(episodes, seen.observations, seen.masks, actions, parameters, rewards)
            seen, following = following, seen
            over = []
            for row in ended:
                episode = next(unplayed, None)
                if episode is None:
                    over.append(row)
                    continue
                episodes[row] = episode
                _begin(lanes[row], ticket, episode, row, seen, noise, check)
                policy.begin_row(row)
                watch.begin_row(row)
            if over:
                going_on = np.bincount(over, minlength=len(lanes)) == 0
                for rows in (seen, following, policy, noise, watch):
                    rows.keep(going_on)
                episodes = episodes[going_on]
                lanes = [lane for lane, goes_on in zip(lanes, going_on, strict=True) if goes_on]
        return builder.trajectories(policy.version)

    def where(self, step: int, part: Part) -> str:
        """Return words for a step, with the place of the environment's code; 0 is the reset."""
        return where_in(self._environments[0], step, part)

    def close(self) -> list[str]:
        """Close the environments; return sentences about errors."""
        return close_all(self._environments)

    def _step(
        self,
        ticket: Ticket,
        lanes: list[gymnasium.Env[Any, Any]],
        episodes: NDArray[np.int64],
        actions: NDArray[Any],
        builder: TrajectoryBuilder,
        following: ObservationRows,
        metrics: InfoMetrics,
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Step every lane, write observations, and return rewards and the rows that ended."""
        results, observations, rewards, ended = [], [], [], []
        singles = self._decoder.singles(actions)
        try:
            for row, action in enumerate(singles):
                result = NOTHING
                result = lanes[row].step(action)
                observation, reward, terminated, truncated, info = result
                results.append(result)
                observations.append(observation)
                rewards.append(float(reward))
                if info:
                    metrics.add(int(episodes[row]), info, ended=terminated or truncated)
                if terminated or truncated:
                    check_flags("the last step", terminated, truncated)
                    ended.append(row)
                elif following.masks is not None:  # after an end nothing has to be allowed
                    following.write_mask(row, observation, info)
                if not self._writes_at_once:
                    following.write_last(row, observation)
            for row in self._write_at_once(following, observations):
                result = results[row]
                following.write_last(row, result[0])
        except (Exception, SystemExit) as error:
            episode, step = builder.next_step_of(episodes, row)
            note_place(error, ticket, episode, step, lanes[row], result)
            raise
        for row in ended:
            _, _, terminated, truncated, _ = results[row]
            ends = {"terminated": terminated, "truncated": truncated}
            builder.end_episode(int(episodes[row]), following.observations[row], **ends)
        return np.array(rewards), ended

    def _write_at_once(self, following: ObservationRows, observations: list[Any]) -> range:
        """Write all observations together; return the rows that need to be written one by one."""
        if self._writes_at_once is None:
            self._writes_at_once = following.are_apart(observations)
        elif self._writes_at_once and not following.write_all(observations):
            return range(len(observations))
        return range(0)


def _begin(
    lane: gymnasium.Env[Any, Any],
    ticket: Ticket,
    episode: int,
    row: int,
    seen: ObservationRows,
    noise: EpisodeNoise,
    check: FiniteCheck,
) -> None:
    """Begin an episode in a lane; its seed determines all its random numbers."""
    episode_seed, result = ticket.episode_seeds[episode], NOTHING
    try:
        result = lane.reset(seed=environment_seed(episode_seed))
        seen.write(row, *result)
    except (Exception, SystemExit) as error:
        note_place(error, ticket, episode, 0, lane, result)
        raise
    check.see(seen.observations[row : row + 1], lambda _: (episode, 0))
    noise.begin_row(row, episode_seed)


def _cut(
    watch: EpisodeWatch,
    episodes: NDArray[np.int64],
    ended: list[int],
    builder: TrajectoryBuilder,
    following: ObservationRows,
) -> list[int]:
    """End the episodes that have reached the limit; return all rows that ended."""
    cut = [row for row in watch.overlong_rows() if row not in ended]
    for row in cut:
        last = following.observations[row]
        builder.end_episode(int(episodes[row]), last, terminated=False, truncated=True)
    watch.num_cut += len(cut)
    return sorted(ended + cut)


def _act(
    policy: Policy, ticket: Ticket, seen: ObservationRows, noise: EpisodeNoise
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    if ticket.greedy:
        return policy.act_greedily(seen.observations, seen.masks), None
    return policy.act(seen.observations, noise.next_step(), seen.masks)
