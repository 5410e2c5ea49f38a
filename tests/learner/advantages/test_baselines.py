import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.advantages.baselines import leave_one_out, time_leave_one_out


def time_baseline_by_the_book(episodes):
    """For each step, look through all other episodes for one that is still going on."""
    result = []
    for i, episode in enumerate(episodes):
        for t in range(len(episode)):
            others = [g[t] for j, g in enumerate(episodes) if j != i and len(g) > t]
            result.append(sum(others) / len(others) if others else 0.0)
    return result


def leave_one_out_by_the_book(episodes):
    result = []
    for i, episode in enumerate(episodes):
        others = [g[0] for j, g in enumerate(episodes) if j != i]
        result.extend([sum(others) / len(others)] * len(episode))
    return result


episodes_strategy = st.lists(
    st.lists(st.floats(-100, 100), min_size=1, max_size=8), min_size=2, max_size=6
)


@given(episodes=episodes_strategy)
def test_the_time_baseline_equals_the_loop_over_other_episodes(episodes):
    lengths = np.array([len(episode) for episode in episodes])

    result = time_leave_one_out(np.concatenate(episodes), lengths)

    np.testing.assert_allclose(result, time_baseline_by_the_book(episodes), atol=1e-9)


@given(episodes=episodes_strategy)
def test_leave_one_out_equals_the_loop_over_other_episodes(episodes):
    lengths = np.array([len(episode) for episode in episodes])

    result = leave_one_out(np.concatenate(episodes), lengths)

    np.testing.assert_allclose(result, leave_one_out_by_the_book(episodes), atol=1e-9)


def test_both_by_hand():
    to_go, lengths = np.array([6.0, 5.0, 2.0, 4.0]), np.array([2, 1, 1])

    np.testing.assert_array_equal(time_leave_one_out(to_go, lengths), [3.0, 0.0, 5.0, 4.0])
    np.testing.assert_array_equal(leave_one_out(to_go, lengths), [3.0, 3.0, 5.0, 4.0])


@given(episodes=episodes_strategy, change=st.floats(-50, 50))
def test_no_baseline_depends_on_its_own_episode(episodes, change):
    lengths = np.array([len(episode) for episode in episodes])
    to_go = np.concatenate(episodes)
    altered = to_go.copy()
    altered[: lengths[0]] += change

    for baseline in (leave_one_out, time_leave_one_out):
        before = baseline(to_go, lengths)[: lengths[0]]
        after = baseline(altered, lengths)[: lengths[0]]
        np.testing.assert_allclose(after, before, atol=1e-9)


def test_the_time_baseline_divides_by_the_weights_with_which_others_get_there():
    returns, lengths = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2, 2, 1])
    reach = np.array([1.0, 0.5, 1.0, 2.0, 1.0])

    result = time_leave_one_out(returns, lengths, reach)

    np.testing.assert_allclose(result, [(3 + 5) / 2, 4 / 2, (1 + 5) / 2, 2 / 0.5, (1 + 3) / 2])


def test_a_weight_of_other_magnitude_does_not_swallow_the_others():
    returns, lengths = np.array([3e20, 5.0, 7.0]), np.array([1, 1, 1])
    reach = np.array([1e20, 1.0, 1.0])

    assert time_leave_one_out(returns, lengths, reach)[0] == 6.0


@given(episodes=episodes_strategy)
def test_weights_of_almost_one_give_almost_the_unweighted_baseline(episodes):
    lengths = np.array([len(episode) for episode in episodes])
    returns = np.concatenate(episodes)

    result = time_leave_one_out(returns, lengths, np.full(len(returns), 1 + 1e-12))

    np.testing.assert_allclose(result, time_leave_one_out(returns, lengths), atol=1e-8)


def test_a_single_episode_has_no_others():
    with pytest.raises(ValueError, match="at least 2 episodes, not 1"):
        leave_one_out(np.ones(3), np.array([3]))
