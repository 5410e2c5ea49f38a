"""How long episodes are while they are played, and those that are cut."""

import time

import numpy as np
import pytest

from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.episode_limits import evaluation_limit
from reinforce.workers.episode_watch import EpisodeWatch
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = pytest.mark.case


def play(config, purpose, on_pulse=lambda num_steps, seconds: None, num_episodes=6):
    """Play six episodes whose most probable action is the first, which leads nowhere in a maze."""
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    worker = RolloutWorker(config, spec)
    is_greedy = purpose is not Purpose.TRAINING
    ticket = draw_tickets(0, purpose, 0, num_episodes, num_episodes, greedy=is_greedy)[0]
    return worker.play(ticket, Weights(0, np.zeros(size, np.float32)), on_pulse)


def maze(make_config, name, *, max_steps=None, lanes=4):
    return make_config(
        environment={"id": f"endless_maze:{name}"},
        evaluation={"max_episode_steps": max_steps},
        workers={"envs_per_worker": lanes, "episodes_per_ticket": 6},
    )


@pytest.mark.parametrize("name", ["Maze", "EndlessMaze-v0"])
def test_an_episode_that_is_only_measured_is_cut_and_counted(make_config, name):
    report, trajectories = play(maze(make_config, name, max_steps=30), Purpose.EVALUATION)

    np.testing.assert_array_equal(report.episode_lengths, [30] * 6)
    assert (report.num_cut, report.truncated.sum()) == (6, 6)
    np.testing.assert_allclose(report.episode_returns, [-3.0] * 6)
    # ever upwards, and then against the wall
    np.testing.assert_array_equal(trajectories.observations[:5, 1], [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(trajectories.final_observations, [[0, 3]] * 6)


@pytest.mark.parametrize("name", ["Maze", "EndlessMaze-v0"])
def test_an_episode_that_is_learned_from_is_played_to_its_end(make_config, name):
    report, trajectories = play(maze(make_config, name, max_steps=5), Purpose.TRAINING)

    assert report.num_cut == 0
    assert report.episode_lengths.max() > 5
    assert trajectories.terminated.all()


def test_what_a_limit_of_time_ends_is_not_counted_as_cut(make_config):
    config = make_config(environment={"id": "endless_maze:Maze", "max_episode_steps": 10})

    report, _ = play(config, Purpose.EVALUATION)

    assert (report.num_cut, report.truncated.sum()) == (0, 6)


def test_a_vector_implementation_is_held_to_the_limit_that_it_is_registered_with(make_config):
    report, _ = play(maze(make_config, "EndlessMaze-v0"), Purpose.REVIEW)

    np.testing.assert_array_equal(report.episode_lengths, [100] * 6)
    assert report.num_cut == 6
    (warning,) = preflight(maze(make_config, "EndlessMaze-v0")).warnings
    assert "does not end an episode after 100 steps, its time limit" in warning
    assert "set environment.use_vector_implementation to false" in warning


def test_without_any_limit_the_default_keeps_a_ticket_in_memory(make_config):
    config = maze(make_config, "Maze")
    spec = inspect_environment(config.environment)
    pictures = inspect_environment(
        make_config(
            environment={
                "id": "space_tasks:PlainPictures",
                "kwargs": {"shape": [84, 84, 4], "brightest": 9},
            }
        ).environment
    )

    assert evaluation_limit(config, spec, known=None) == 50_000
    assert evaluation_limit(config, spec, known=200_000) == 200_000
    assert 6 * 84 * 84 * 4 * evaluation_limit(config, pictures, known=None) == pytest.approx(
        2**30, rel=0.001
    )


def test_the_longest_episode_in_play_is_reported_a_few_times_a_second(make_config):
    pulses, began_s = [], time.monotonic()

    def on_pulse(num_steps, seconds):
        pulses.append((num_steps, seconds))
        if len(pulses) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        play(maze(make_config, "Maze", max_steps=10**9), Purpose.EVALUATION, on_pulse)

    (first, _), (second, _), (third, seconds) = pulses
    assert first < second < third
    assert 0.7 < seconds <= time.monotonic() - began_s


def test_rows_that_begin_again_or_end_no_longer_count():
    pulses = []
    watch = EpisodeWatch(5, lambda num_steps, seconds: pulses.append(num_steps))
    watch.begin(3)
    assert [watch.tick() for _ in range(3)] == [False] * 3
    watch.begin_row(0)
    watch.keep(np.array([True, False, True]))
    assert [watch.tick() for _ in range(2)] == [False, True]
    assert watch.overlong_rows() == [1]
    watch.keep(np.array([True, False]))
    assert [watch.tick() for _ in range(3)] == [False, False, True]
