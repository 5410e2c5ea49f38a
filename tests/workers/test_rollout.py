"""Both kinds of lanes keep the same promises; the slow oracle plays one episode at a time."""

import gymnasium
import numpy as np
import pytest

from reinforce.learner.policies.distributions import Categorical
from reinforce.learner.policies.policy import MLPPolicy
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment, make_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.seeds import action_generator, environment_seed
from reinforce.workers.tickets import Purpose, draw_tickets


def weights_for(config, seed=0, version=4):
    architecture = architecture_of(config, inspect_environment(config.environment))
    values = np.random.default_rng(seed).normal(size=architecture.num_parameters) * 0.5
    return Weights(version, values.astype(np.float32))


def play(config, num_episodes=7, *, greedy=False, weights=None):
    worker = RolloutWorker(config, inspect_environment(config.environment))
    ticket = draw_tickets(3, Purpose.TRAINING, 0, num_episodes, num_episodes, greedy=greedy)[0]
    report, trajectories = worker.play(ticket, weights or weights_for(config))
    worker.close()
    return ticket, report, trajectories


def one_episode_by_the_book(config, weights, seed):
    """One environment, one observation at a time, one random number per step."""
    spec = inspect_environment(config.environment)
    policy = MLPPolicy(architecture_of(config, spec))
    policy.load(weights)
    environment = make_environment(config.environment)
    generator = action_generator(seed)
    observation, _ = environment.reset(seed=environment_seed(seed))
    steps, over = [], False
    while not over:
        actions, parameters = policy.act(observation[None], generator.random(1))
        log_probs = Categorical().log_prob(parameters, actions)
        action = int(actions[0])
        following, reward, terminated, truncated, _ = environment.step(action)
        steps.append((observation, action, reward, log_probs[0]))
        observation, over = following, terminated or truncated
    return steps, terminated, truncated, observation


@pytest.mark.parametrize("num_lanes", [1, 3, 16])
def test_single_lanes_play_every_episode_of_the_ticket_as_the_slow_loop_does(
    make_config, num_lanes
):
    config = make_config(
        environment={"id": "CartPole-v1", "use_vector_implementation": False},
        workers={"envs_per_worker": num_lanes, "episodes_per_ticket": 16},
    )
    weights = weights_for(config)

    ticket, _, trajectories = play(config, weights=weights)

    start = 0
    for episode, seed in enumerate(ticket.episode_seeds):
        steps, terminated, truncated, final = one_episode_by_the_book(config, weights, seed)
        end = start + len(steps)
        assert trajectories.episode_lengths[episode] == len(steps)
        np.testing.assert_array_equal(trajectories.observations[start:end], [s[0] for s in steps])
        np.testing.assert_array_equal(trajectories.actions[start:end], [s[1] for s in steps])
        np.testing.assert_array_equal(trajectories.rewards[start:end], [s[2] for s in steps])
        np.testing.assert_allclose(
            trajectories.behavior_log_probs[start:end], [s[3] for s in steps], atol=1e-5
        )
        assert trajectories.terminated[episode] == terminated
        assert trajectories.truncated[episode] == truncated
        np.testing.assert_array_equal(trajectories.final_observations[episode], final)
        start = end
    assert start == trajectories.num_steps


def test_vector_lanes_record_the_first_episode_of_each_lane_whole(make_config):
    """The oracle steps all lanes to the end and cuts each at its first end."""
    config = make_config(
        environment={"id": "CartPole-v1"},
        workers={"envs_per_worker": 5, "episodes_per_ticket": 5},
    )
    weights = weights_for(config)

    ticket, _, trajectories = play(config, num_episodes=5, weights=weights)

    seed = ticket.episode_seeds[0]
    policy = MLPPolicy(architecture_of(config, inspect_environment(config.environment)))
    policy.load(weights)
    environment = gymnasium.make_vec("CartPole-v1", 5, vectorization_mode="vector_entry_point")
    generator = action_generator(seed)
    observations, _ = environment.reset(seed=environment_seed(seed))
    lengths, seen, live = [0] * 5, [[] for _ in range(5)], list(range(5))
    while live:
        actions, _ = policy.act(observations[live], generator.random(len(live)))
        for lane in live:
            lengths[lane] += 1
            seen[lane].append(observations[lane].copy())
        everyone = np.zeros(5, np.int64)
        everyone[live] = actions
        observations, _, terminated, truncated, _ = environment.step(everyone)
        live = [lane for lane in live if not (terminated[lane] or truncated[lane])]
    np.testing.assert_array_equal(trajectories.episode_lengths, lengths)
    np.testing.assert_array_equal(trajectories.observations, np.concatenate(seen))
    assert (trajectories.rewards == 1.0).all()


@pytest.mark.parametrize("shares", ["array", "dict", "nothing"])
def test_lanes_may_return_what_each_of_their_steps_writes_over(make_config, shares):
    """Three lanes see what one alone sees, which has nobody to share with."""
    config = make_config(
        environment={"id": "shared_memory:SharedMemory", "kwargs": {"shares": shares}},
        workers={"episodes_per_ticket": 7},
    )
    alone, together = (
        play(config.model_copy(update={"workers": workers}))[2]
        for num in (1, 3)
        for workers in [config.workers.model_copy(update={"envs_per_worker": num})]
    )

    np.testing.assert_array_equal(together.observations, alone.observations)
    np.testing.assert_array_equal(together.final_observations, alone.final_observations)


@pytest.mark.parametrize("vector", [True, False])
def test_a_trajectory_is_a_function_of_weights_and_ticket(make_config, vector):
    config = make_config(
        environment={"id": "CartPole-v1", "use_vector_implementation": vector},
        workers={"envs_per_worker": 4, "episodes_per_ticket": 9},
    )
    worker = RolloutWorker(config, inspect_environment(config.environment))
    first, second = draw_tickets(0, Purpose.TRAINING, 0, 18, 9)
    weights = weights_for(config)

    digests = {
        (ticket.index, worker.play(ticket, weights)[0].trajectories_sha256)
        for ticket in (first, second, first, second, second, first)  # history is of no influence
    }

    assert len(digests) == 2
    worker.close()


def test_more_episodes_than_lanes_in_a_vector_environment_are_played_in_rounds(make_config):
    config = make_config(
        environment={"id": "CartPole-v1"},
        workers={"envs_per_worker": 4, "episodes_per_ticket": 10},
    )

    _, report, trajectories = play(config, num_episodes=10)

    assert trajectories.num_episodes == 10
    assert (report.episode_lengths > 0).all()
    np.testing.assert_array_equal(report.episode_returns, report.episode_lengths)


def test_terminated_and_truncated_are_kept_apart(make_config):
    def flags(*, terminates):
        config = make_config(environment={"kwargs": {"terminates": terminates}})
        _, report, trajectories = play(config, num_episodes=3)
        return trajectories.terminated.tolist(), trajectories.truncated.tolist(), report

    assert flags(terminates=True)[:2] == ([True] * 3, [False] * 3)
    terminated, truncated, report = flags(terminates=False)
    assert (terminated, truncated, report.truncated.tolist()) == (
        [False] * 3,
        [True] * 3,
        [True] * 3,
    )


def test_the_vector_implementation_truncates_at_the_limit_given(make_config):
    config = make_config(
        environment={"id": "CartPole-v1", "max_episode_steps": 5},
        workers={"envs_per_worker": 8, "episodes_per_ticket": 8},
    )

    _, _, trajectories = play(config, num_episodes=8)

    np.testing.assert_array_equal(trajectories.episode_lengths, np.full(8, 5))
    assert trajectories.truncated.all()


def test_lanes_step_only_while_their_episode_lasts(make_config):
    """The countdown raises when it is stepped after its end."""
    config = make_config(
        environment={"kwargs": {"shortest": 1, "longest": 9}},
        workers={"envs_per_worker": 4, "episodes_per_ticket": 9},
    )

    _, report, trajectories = play(config, num_episodes=11)

    assert trajectories.num_steps == report.episode_lengths.sum() == report.episode_returns.sum()
    # the first number of the observation counts down to 1 in each episode
    ends = np.cumsum(trajectories.episode_lengths) - 1
    np.testing.assert_array_equal(trajectories.observations[ends, 0], np.ones(11))


def test_actions_are_numbered_as_the_environment_does(make_config):
    config = make_config(environment={"kwargs": {"start": 7}})

    _, _, trajectories = play(config)  # the countdown refuses an action outside of {7, 8}

    assert set(trajectories.actions) <= {0, 1}


def test_greedy_episodes_take_the_most_probable_actions(make_config):
    config = make_config(environment={"id": "CartPole-v1", "use_vector_implementation": False})
    weights = weights_for(config)

    _, _, trajectories = play(config, greedy=True, weights=weights)

    policy = MLPPolicy(architecture_of(config, inspect_environment(config.environment)))
    policy.load(weights)
    np.testing.assert_array_equal(
        trajectories.actions, policy.act_greedily(trajectories.observations)
    )


def test_trajectories_carry_the_version_that_played_them(make_config):
    _, report, trajectories = play(make_config())

    assert report.policy_version == trajectories.policy_version == 4
