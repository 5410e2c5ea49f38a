"""The log-probabilities that are recorded, against the policy's own, one step at a time."""

import numpy as np
import pytest

from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.policies.distributions import Categorical
from reinforce.workers.environment import inspect_environment
from reinforce.workers.trajectory_builder import TrajectoryBuilder


@pytest.fixture(scope="module")
def spec():
    return inspect_environment(EnvironmentConfig(id="CartPole-v1"))


@pytest.mark.parametrize("num_lanes", [1, 7, 5000])
def test_every_step_has_the_log_probability_of_its_own_parameters(spec, num_lanes):
    generator = np.random.default_rng(0)
    builder = TrajectoryBuilder(num_lanes, spec)
    observations = np.zeros((num_lanes, 4), np.float32)
    memory = np.empty((num_lanes, 2), np.float32)  # a recurrent policy writes over its own
    expected = []
    num_rounds = 3 if num_lanes > 1000 else 9000 // num_lanes
    for _ in range(num_rounds):
        memory[...] = generator.normal(size=memory.shape)
        actions = generator.integers(2, size=num_lanes)
        expected.append(Categorical().log_prob(memory, actions))
        episodes = np.arange(num_lanes)
        builder.add_steps(episodes, observations, None, actions, memory, [0.0] * num_lanes)
        memory[...] = np.nan
    for episode in range(num_lanes):
        builder.end_episode(episode, observations[0], terminated=True, truncated=False)

    found = builder.trajectories(0).behavior_log_probs

    np.testing.assert_array_equal(found, np.array(expected).T.ravel())


def test_greedy_actions_were_not_drawn_and_have_no_log_probability(spec):
    builder = TrajectoryBuilder(1, spec)
    seen = np.zeros((1, 4), np.float32)
    for _ in range(10):
        builder.add_steps(np.zeros(1, np.int64), seen, None, np.zeros(1, np.int64), None, [1.0])
    builder.end_episode(0, seen[0], terminated=True, truncated=False)

    np.testing.assert_array_equal(builder.trajectories(0).behavior_log_probs, np.zeros(10))
