"""What surrounds the compiled functions of a world, held against functions in NumPy."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.functional_environment import FunctionalEnv, FunctionalVectorEnv
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

TIME, NUM_DRAWN = 0, 2


class Walks:
    """Lane i ends after i + 2 steps; shows its time and two numbers that its seed has drawn.

    As ``JaxBatch`` it has no state of its own, and its arrays cannot be written.
    """

    observation_space = Box(-1, 99, (1 + NUM_DRAWN,), np.float32)
    action_space = Discrete(2)

    def reset(self, seed, num_lanes):
        drawn = [np.random.default_rng([seed, lane]).random(NUM_DRAWN) for lane in range(num_lanes)]
        seen = np.column_stack([np.zeros(num_lanes), drawn]).astype(np.float32)
        seen.flags.writeable = False
        return seen, seen

    def step(self, state, actions, waiting):
        seen = state.copy()
        seen[:, TIME] = np.where(waiting, 0, state[:, TIME] + 1)
        # What ``step`` says of lanes that were reset means nothing.
        terminated = waiting | (seen[:, TIME] == np.arange(len(seen)) + 2)
        seen.flags.writeable = False
        return seen, seen, np.where(waiting, 7.0, actions).astype(np.float32), terminated


if "NumPyWalks-v0" not in gymnasium.registry:
    gymnasium.register(
        "NumPyWalks-v0",
        entry_point=lambda: FunctionalEnv(Walks()),
        vector_entry_point=lambda num_envs, max_episode_steps=None: FunctionalVectorEnv(
            Walks(), num_envs, max_episode_steps
        ),
        max_episode_steps=4,
    )


def stepped(environment, num_steps):
    """Return what each step gives, without infos, if all lanes act alike."""
    actions = np.ones(environment.num_envs, np.int64)
    return [environment.step(actions)[:4] for _ in range(num_steps)]


def test_the_seed_alone_decides_a_round():
    environment = FunctionalVectorEnv(Walks(), 3, None)
    first, info = environment.reset(seed=5)
    stepped(environment, 4)
    other, _ = environment.reset(seed=6)
    again, _ = environment.reset(seed=5)

    assert info == {}
    np.testing.assert_array_equal(first, again)
    assert (first[:, 1:] != other[:, 1:]).all()


def test_rounds_without_a_seed_differ_and_follow_from_the_last_seed():
    def rounds():
        environment = FunctionalVectorEnv(Walks(), 1, None)
        seeds = [5, None, None]
        return np.concatenate([environment.reset(seed=seed)[0][:, 1:] for seed in seeds])

    assert len(np.unique(rounds(), axis=0)) == 3
    np.testing.assert_array_equal(rounds(), rounds())


def test_the_last_observation_is_shown_before_a_lane_begins_again():
    environment = FunctionalVectorEnv(Walks(), 2, None)
    environment.reset(seed=0)
    steps = stepped(environment, 4)

    np.testing.assert_array_equal([s[0][:, TIME] for s in steps], [[1, 1], [2, 2], [0, 3], [1, 0]])
    np.testing.assert_array_equal([s[1] for s in steps], [[1, 1], [1, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal([s[2] for s in steps], [[0, 0], [1, 0], [0, 1], [0, 0]])
    assert not any(s[3].any() for s in steps)


def test_an_end_by_the_limit_is_a_truncation_and_the_count_begins_again():
    environment = FunctionalVectorEnv(Walks(), 3, max_episode_steps=3)
    environment.reset(seed=0)
    steps = stepped(environment, 7)

    terminated, truncated = (np.array([s[i] for s in steps]).T.astype(int) for i in (2, 3))
    np.testing.assert_array_equal(terminated[0], [0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(truncated[0], [0] * 7)
    # Lane 1 ends by itself where the limit is: both are true, as with Gymnasium's TimeLimit.
    np.testing.assert_array_equal([terminated[1], truncated[1]], [[0, 0, 1, 0, 0, 0, 1]] * 2)
    np.testing.assert_array_equal(terminated[2], [0] * 7)
    np.testing.assert_array_equal(truncated[2], [0, 0, 1, 0, 0, 0, 1])


def test_a_single_environment_plays_what_lane_0_does():
    single, vector = FunctionalEnv(Walks()), FunctionalVectorEnv(Walks(), 3, None)

    np.testing.assert_array_equal(single.reset(seed=8)[0], vector.reset(seed=8)[0][0])
    for action in (1, 0):
        observation, reward, terminated, truncated, info = single.step(action)
        others = vector.step(np.full(3, action))
        np.testing.assert_array_equal(observation, others[0][0])
        assert (reward, terminated, truncated) == (action, others[2][0], False)
        assert (type(reward), type(terminated), info) == (float, bool, {})


def test_single_and_vector_implementation_pass_the_preflight_with_the_same_limit(make_config):
    found = preflight(make_config(environment={"id": "NumPyWalks-v0"}))

    assert found.warnings == ()
    assert found.spec.has_vector_implementation


@pytest.mark.parametrize("num_lanes", [2, 3])
def test_workers_play_the_first_episode_of_each_lane_whatever_they_played_before(
    make_config, num_lanes
):
    config = make_config(
        environment={"id": "NumPyWalks-v0"},
        workers={"envs_per_worker": num_lanes, "episodes_per_ticket": 5},
    )
    spec = inspect_environment(config.environment)
    worker = RolloutWorker(config, spec)
    weights = Weights(0, np.zeros(architecture_of(config, spec).num_parameters, np.float32))
    tickets = draw_tickets(0, Purpose.TRAINING, 0, 10, 5)

    played = [worker.play(tickets[index], weights) for index in (0, 1, 1, 0)]

    digests = [report.trajectories_sha256 for report, _ in played]
    assert digests[:2] == digests[:1:-1]
    assert digests[0] != digests[1]
    lengths = [2 + episode % num_lanes for episode in range(5)]
    for _, trajectories in played:
        np.testing.assert_array_equal(trajectories.episode_lengths, lengths)
        np.testing.assert_array_equal(trajectories.final_observations[:, TIME], lengths)
    assert worker.close() == []
