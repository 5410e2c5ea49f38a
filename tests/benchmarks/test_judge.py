import gymnasium
import numpy as np
import pytest
from judge import EVERY_STEPS, Judge, Over, RecentReturns, Recorded, play


def balances(observations):
    """Push to where the pole falls, and back to the middle: 500 steps from any start."""
    return (observations @ np.array([0.1, 0.3, 1.0, 1.0]) > 0).astype(int)


def falls(observations):
    return np.zeros(len(observations), dtype=int)


def judge(**options):
    result = Judge(seed=0, time_limit_s=60.0, **options)
    result.start()
    return result


def test_a_policy_that_balances_scores_500_and_one_that_does_not_about_ten():
    assert play(balances, seed=0).tolist() == [500.0] * 100
    assert play(falls, seed=0).mean() == pytest.approx(9.4, abs=0.5)


def test_only_the_first_episode_of_a_lane_counts():
    environment = gymnasium.make("CartPole-v1")
    environment.reset(seed=3)
    length = 1
    while not environment.step(0)[2]:
        length += 1

    assert play(falls, seed=3, num_episodes=1).tolist() == [float(length)]


def test_a_run_ends_when_both_means_are_reached():
    judged = judge()
    judged.look(EVERY_STEPS, balances, recent_return=300.0)
    with pytest.raises(Over):
        judged.look(2 * EVERY_STEPS, balances, recent_return=475.0)

    report = judged.report()
    assert report["outcome"] == "reached"
    assert report["greedy_environment_steps"] == EVERY_STEPS
    assert report["sampled_environment_steps"] == 2 * EVERY_STEPS


def test_the_first_time_counts():
    judged = judge()
    for recent_return in (474.9, 480.0, 100.0, 490.0):
        judged.look(judged.report()["environment_steps"] + 10, falls, recent_return)

    assert judged.report()["sampled_environment_steps"] == 20
    assert judged.report()["greedy_environment_steps"] is None


def test_a_policy_is_played_every_5000_steps_only():
    asked = []

    def act(observations):
        asked.append(1)
        return falls(observations)

    judged = judge()
    judged.look(EVERY_STEPS - 1, act, recent_return=None)
    assert not asked
    judged.look(EVERY_STEPS, act, recent_return=None)
    assert asked


def test_the_clock_stands_still_while_a_policy_is_judged():
    judged = judge()
    judged.look(EVERY_STEPS, balances, recent_return=None)
    judged.look(EVERY_STEPS + 1, balances, recent_return=None)

    report = judged.report()
    assert report["judging_s"] > 0
    assert report["training_s"] < report["judging_s"]


def test_on_another_task_only_the_steps_are_timed():
    def fails(observations):
        raise AssertionError("no policy is asked")

    judged = judge(task="LunarLander-v3", max_steps=2 * EVERY_STEPS)
    judged.look(EVERY_STEPS, fails, recent_return=480.0)
    with pytest.raises(Over):
        judged.look(2 * EVERY_STEPS, fails, recent_return=480.0, last=True)

    report = judged.report()
    assert report["outcome"] == "budget used up"
    assert report["sampled_training_s"] is None
    assert report["environment_steps_per_s"] > 0


def test_a_run_out_of_time_says_so():
    judged = Judge(seed=0, time_limit_s=0.0)
    judged.start()
    with pytest.raises(Over):
        judged.look(10, falls, recent_return=None)

    assert judged.report()["outcome"] == "time limit"


def test_what_comes_before_the_first_look_does_not_count_for_the_steps_per_second():
    judged = judge()
    judged.look(0, falls, recent_return=None)
    judged.started -= 20.0  # as if all that time had been spent on compiling
    judged.look(1000, falls, recent_return=None)
    judged.started -= 1.0
    judged.look(2000, falls, recent_return=None)

    report = judged.report()
    assert report["environment_steps_per_s"] == pytest.approx(1000, rel=0.05)
    assert report["training_s"] == pytest.approx(21, rel=0.05)


def test_a_single_look_counts_all_steps_and_all_seconds():
    judged = judge()
    judged.started -= 2.0
    judged.look(1000, falls, recent_return=None)

    assert judged.report()["environment_steps_per_s"] == pytest.approx(500, rel=0.05)


def test_the_mean_of_training_needs_100_episodes_and_forgets_older_ones():
    returns = RecentReturns()
    for _ in range(99):
        returns.add(10.0)
    assert returns.mean() is None
    returns.add(110.0)
    assert returns.mean() == 11.0
    for _ in range(100):
        returns.add(9999.0)
    assert returns.mean() == 500.0


def test_episodes_of_a_wrapped_environment_are_counted():
    class Counted:
        def __init__(self):
            self.returns = []

        def add(self, episode_return):
            self.returns.append(episode_return)

    counted = Counted()
    environment = Recorded(gymnasium.make("CartPole-v1"), counted)
    lengths = []
    for _ in range(3):
        environment.reset(seed=0)
        environment.step(1)
        environment.reset(seed=0)  # an episode that is not finished does not count
        length = 1
        while not environment.step(0)[2]:
            length += 1
        lengths.append(float(length))

    assert counted.returns == lengths
