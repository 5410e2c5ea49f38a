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
from learner.policy import MLPPolicy
from learner.trajectories import Trajectories
from workers.environment import EnvironmentFactory, EnvironmentSpec, make_environment
from workers.recorder import Recorder
from workers.ticket import Ticket, action_generator, environment_seed

_UNIFORMS_PER_DRAW = 128
"""Random numbers are drawn this many steps at a time; the number decides nothing but the speed."""


@dataclass
class _Lane:
    """One environment in the middle of one episode of the ticket."""

    environment: gymnasium.Env[Any, Any]
    episode: int
    generator: np.random.Generator
    uniforms: Iterator[float]

    def next_uniform(self) -> float:
        for uniform in self.uniforms:
            return uniform
        self.uniforms = iter(self.generator.random(_UNIFORMS_PER_DRAW).tolist())
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

    def play(self, policy: MLPPolicy, ticket: Ticket) -> Trajectories:
        """Play all episodes of the ticket, each seeded by itself, and return them in its order."""
        recorder = Recorder(ticket.num_episodes, self._spec.observation_shape)
        unplayed = iter(range(ticket.num_episodes))
        lanes, starts = [], []
        for environment, episode in zip(self._environments, unplayed, strict=False):
            lane, observation = self._start(environment, ticket, episode)
            lanes.append(lane)
            starts.append(observation)
        observations = np.array(starts, np.float32)
        while lanes:
            actions, log_probs = self._act(policy, ticket, lanes, observations)
            episodes = np.array([lane.episode for lane in lanes])
            following, rewards, ended = self._step(lanes, actions, recorder)
            recorder.record_steps(episodes, observations, actions, log_probs, rewards)
            for position in ended:
                episode = next(unplayed, -1)
                if episode >= 0:
                    environment = lanes[position].environment
                    lanes[position], following[position] = self._start(environment, ticket, episode)
                else:
                    lanes[position].episode = -1
            observations = following
            if ended and any(lane.episode < 0 for lane in lanes):
                observations = following[[lane.episode >= 0 for lane in lanes]]
                lanes = [lane for lane in lanes if lane.episode >= 0]
        return recorder.trajectories(policy.version)

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    @staticmethod
    def _start(
        environment: gymnasium.Env[Any, Any], ticket: Ticket, episode: int
    ) -> tuple[_Lane, NDArray[Any]]:
        seed = ticket.episode_seeds[episode]
        observation, _ = environment.reset(seed=environment_seed(seed))
        return _Lane(environment, episode, action_generator(seed), iter(())), observation

    @staticmethod
    def _act(
        policy: MLPPolicy, ticket: Ticket, lanes: list[_Lane], observations: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if ticket.greedy:
            return policy.act_greedily(observations), np.zeros(len(lanes), np.float32)
        return policy.act(observations, np.array([lane.next_uniform() for lane in lanes]))

    def _step(
        self, lanes: list[_Lane], actions: NDArray[np.int64], recorder: Recorder
    ) -> tuple[NDArray[np.float32], list[float], list[int]]:
        """Step every lane; return next observations, rewards and the positions that ended."""
        following = np.empty((len(lanes), *self._spec.observation_shape), np.float32)
        rewards, ended = [], []
        for position, action in enumerate((actions + self._spec.first_action).tolist()):
            lane = lanes[position]
            observation, reward, terminated, truncated, _ = lane.environment.step(action)
            following[position] = observation
            rewards.append(float(reward))
            if terminated or truncated:
                recorder.record_end(
                    lane.episode, observation, terminated=terminated, truncated=truncated
                )
                ended.append(position)
        return following, rewards, ended
