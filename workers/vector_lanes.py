"""Lanes of an environment that steps many copies of itself at once, such as CartPole's.

The same guarantees as single lanes, by a simpler rule: in each round the first episode of each lane
is the one that counts, fixed before it begins. What a lane does after that episode, until the whole
round has ended, is neither recorded nor of any influence.
"""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from configs.experiment import EnvironmentConfig
from learner.policy import MLPPolicy
from learner.trajectories import Trajectories
from workers.environment import (
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    make_vector_environment,
)
from workers.recorder import Recorder
from workers.ticket import Ticket, action_generator, environment_seed


class VectorLanes:
    """Plays tickets in rounds of ``num_lanes`` episodes; one seed per round decides all chance."""

    def __init__(self, config: EnvironmentConfig, spec: EnvironmentSpec, num_lanes: int) -> None:
        self._environment = make_vector_environment(config, num_lanes)
        self._autoreset = self._environment.metadata.get("autoreset_mode")
        if self._autoreset not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r}: its vector implementation has autoreset_mode "
                f"{self._autoreset}, which is not supported yet; set "
                "environment.use_vector_implementation to false"
            )
        self._spec = spec
        self._num_lanes = num_lanes

    def play(self, policy: MLPPolicy, ticket: Ticket) -> Trajectories:
        """Play all episodes of the ticket and return them in its order."""
        recorder = Recorder(ticket.num_episodes, self._spec.observation_shape)
        for first in range(0, ticket.num_episodes, self._num_lanes):
            count = min(self._num_lanes, ticket.num_episodes - first)
            self._play_round(policy, ticket, first, count, recorder)
        return recorder.trajectories(policy.version)

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()

    def _play_round(
        self, policy: MLPPolicy, ticket: Ticket, first: int, count: int, recorder: Recorder
    ) -> None:
        seed = ticket.episode_seeds[first]
        observations, _ = self._environment.reset(seed=environment_seed(seed))
        generator = action_generator(seed)
        live = np.arange(count)
        all_actions = np.full(self._num_lanes, self._spec.first_action)
        while len(live) > 0:
            seen = observations[live].astype(np.float32, copy=False)  # as it is recorded
            if ticket.greedy:
                actions, log_probs = policy.act_greedily(seen), np.zeros(len(live), np.float32)
            else:
                actions, log_probs = policy.act(seen, generator.random(len(live)))
            all_actions[live] = actions + self._spec.first_action
            observations, rewards, terminated, truncated, info = self._environment.step(all_actions)
            recorder.record_steps(live + first, seen, actions, log_probs, rewards[live])
            ended = terminated[live] | truncated[live]
            if ended.any():
                finals = self._final_observations(observations, info)
                for lane in live[ended]:
                    recorder.record_end(
                        first + lane,
                        finals[lane],
                        terminated=terminated[lane],
                        truncated=truncated[lane],
                    )
                live = live[~ended]

    def _final_observations(self, observations: NDArray[Any], info: dict[str, Any]) -> NDArray[Any]:
        """Return what stood at the end; with SAME_STEP the next episode's start has replaced it."""
        if self._autoreset is AutoresetMode.SAME_STEP:
            final: NDArray[Any] = info["final_obs"]
            return final
        return observations
