import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.policies.trajectories import step_indices


def rewards_to_go_by_the_book(episodes, discount):
    """Sutton & Barto (2018), eq. 3.8: a double loop, one episode at a time."""
    result = []
    for rewards in episodes:
        for t in range(len(rewards)):
            total = 0.0
            for k in range(t, len(rewards)):
                total += discount ** (k - t) * rewards[k]
            result.append(total)
    return result


episodes_strategy = st.lists(
    st.lists(st.floats(-100, 100), min_size=1, max_size=12), min_size=1, max_size=6
)


@given(episodes=episodes_strategy, discount=st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_the_recursion_equals_the_double_loop(episodes, discount):
    lengths = np.array([len(episode) for episode in episodes])

    result = rewards_to_go(np.concatenate(episodes), lengths, discount)

    np.testing.assert_allclose(result, rewards_to_go_by_the_book(episodes, discount), atol=1e-9)


def test_two_episodes_by_hand():
    result = rewards_to_go(np.array([1.0, 2.0, 4.0, 10.0]), np.array([3, 1]), 0.5)

    # 1 + 2/2 + 4/4, 2 + 4/2, 4; and nothing of the second episode leaks into the first
    np.testing.assert_array_equal(result, [3.0, 4.0, 4.0, 10.0])


def test_the_rewards_are_left_as_they_were():
    rewards = np.array([1.0, 2.0])

    rewards_to_go(rewards, np.array([2]), 1.0)

    np.testing.assert_array_equal(rewards, [1.0, 2.0])


@pytest.mark.parametrize("discount", [-0.1, 1.1])
def test_a_discount_outside_its_range_is_refused_by_value(discount):
    with pytest.raises(ValueError, match=str(discount)):
        rewards_to_go(np.array([1.0]), np.array([1]), discount)


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="sum to 3, not to 1"):
        rewards_to_go(np.array([1.0]), np.array([3]), 1.0)


def test_step_indices_count_from_zero_in_each_episode():
    np.testing.assert_array_equal(step_indices(np.array([3, 1, 2])), [0, 1, 2, 0, 0, 1])
