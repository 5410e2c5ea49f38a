"""Lanes of single environments, stepped one after the other with one call of the policy per step.

The rule that keeps the gradient honest: every episode that is started is finished and recorded. A
lane that falls free may *start* the ticket's next episode; nothing decides whether to *keep* one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from configs.experiment import EnvironmentConfig
from learner.policy import Policy
from learner.trajectories import Trajectories
from workers.actions import ActionDecoder
from workers.environment import EnvironmentFactory, EnvironmentSpec, make_environment
from workers.observations import WritableRows
from workers.recorder import Recorder
from workers.ticket import Ticket, action_generator, environment_seed

_UNIFORMS_PER_DRAW = 128
"""Steps for which random numbers are drawn at a time; it decides nothing but the speed."""


@dataclass
class _Lane:
    """One environment in the middle of one episode of the ticket."""

    environment: gymnasium.Env[Any, Any]
    episode: int
    generator: np.random.Generator
    uniforms: Iterator[Any]

    def next_uniforms(self, draw_shape: tuple[int, ...]) -> Any:
        for uniforms in self.uniforms:
            return uniforms
        self.uniforms = iter(self.generator.random(draw_shape).tolist())
        return next(self.uniforms)


class SingleLanes:
    """Plays tickets in up to ``num_lanes`` environments; only those in play are stepped."""

    def __init__(
        self,
        config: EnvironmentConfig,
        spec: EnvironmentSpec,
        num_lanes: int,
        make: EnvironmentFactory = make_environment,
    ) -> None:
        self._environments = [make(config) for _ in range(num_lanes)]
        self._spec = spec
        self._decoder = ActionDecoder(spec.action)
        per_step = () if spec.action.is_one_choice else (spec.action.num_uniforms,)
        self._draw_shape = (_UNIFORMS_PER_DRAW, *per_step)

    def play(self, policy: Policy, ticket: Ticket) -> Trajectories:
        """Play all episodes of the ticket, each seeded by itself, and return them in its order."""
        recorder = Recorder(ticket.num_episodes, self._spec)
        unplayed = iter(range(ticket.num_episodes))
        environments = self._environments[: ticket.num_episodes]
        seen = WritableRows(self._spec, len(environments))
        lanes = [
            self._start(environment, ticket, next(unplayed), position, seen)
            for position, environment in enumerate(environments)
        ]
        policy.begin(len(lanes))
        while lanes:
            actions, log_probs = self._act(policy, ticket, lanes, seen)
            episodes = np.array([lane.episode for lane in lanes])
            following, rewards, ended = self._step(lanes, actions, recorder)
            recorder.record_steps(episodes, seen, actions, log_probs, rewards)
            seen = following
            for position in ended:
                lane = lanes[position]
                lane.episode = next(unplayed, -1)
                if lane.episode >= 0:
                    lanes[position] = self._start(
                        lane.environment, ticket, lane.episode, position, seen
                    )
                    policy.begin_row(position)
            if ended and any(lane.episode < 0 for lane in lanes):
                going_on = np.array([lane.episode >= 0 for lane in lanes])
                seen.keep(going_on)
                policy.keep(going_on)
                lanes = [lane for lane in lanes if lane.episode >= 0]
        return recorder.trajectories(policy.version)

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    @staticmethod
    def _start(
        environment: gymnasium.Env[Any, Any],
        ticket: Ticket,
        episode: int,
        position: int,
        seen: WritableRows,
    ) -> _Lane:
        seed = ticket.episode_seeds[episode]
        seen.write(position, *environment.reset(seed=environment_seed(seed)))
        return _Lane(environment, episode, action_generator(seed), iter(()))

    def _act(
        self, policy: Policy, ticket: Ticket, lanes: list[_Lane], seen: WritableRows
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        if ticket.greedy:
            actions = policy.act_greedily(seen.observations, seen.masks)
            return actions, np.zeros(len(lanes), np.float32)
        uniforms = np.array([lane.next_uniforms(self._draw_shape) for lane in lanes])
        return policy.act(seen.observations, uniforms, seen.masks)

    def _step(
        self, lanes: list[_Lane], actions: NDArray[Any], recorder: Recorder
    ) -> tuple[WritableRows, list[float], list[int]]:
        """Step every lane; return what is seen next, rewards and the positions that ended."""
        following = WritableRows(self._spec, len(lanes))
        rewards, ended = [], []
        for position, action in enumerate(self._decoder.singles(actions)):
            lane = lanes[position]
            observation, reward, terminated, truncated, info = lane.environment.step(action)
            rewards.append(float(reward))
            if terminated or truncated:
                # Nothing is done on it, so nothing has to be allowed.
                following.write_last(position, observation)
                recorder.record_end(
                    lane.episode,
                    following.observations[position],
                    terminated=terminated,
                    truncated=truncated,
                )
                ended.append(position)
            else:
                following.write(position, observation, info)
        return following, rewards, ended
