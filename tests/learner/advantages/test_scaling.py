import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.advantages.scaling import (
    RunningScale,
    scaled_advantages,
    standardized_per_episode,
    without_rounding,
)


def scaled(kind, advantages, lengths, running=None):
    return scaled_advantages(
        kind, np.array(advantages), np.array(lengths), running or RunningScale()
    )


def test_none_leaves_the_advantages():
    np.testing.assert_array_equal(scaled("none", [3.0, -4.0], [2]), [3.0, -4.0])


def test_batch_divides_by_the_root_mean_square():
    # root of (9 + 16 + 0 + 0) / 4 = 2.5
    np.testing.assert_allclose(
        scaled("batch", [3.0, -4.0, 0.0, 0.0], [2, 2]), [1.2, -1.6, 0.0, 0.0]
    )


def test_running_divides_by_the_scale_of_earlier_batches_only():
    scale = RunningScale().updated(np.array([2.0, -2.0]))

    np.testing.assert_allclose(scaled("running", [8.0], [1], scale), [4.0])


def test_the_first_batch_is_divided_by_its_own_root_mean_square():
    np.testing.assert_allclose(scaled("running", [3.0, -4.0, 0.0, 0.0], [4]), [1.2, -1.6, 0, 0])
    np.testing.assert_array_equal(scaled("running", [0.0, 0.0], [2]), [0.0, 0.0])


def test_the_running_scale_is_a_mean_over_batches_without_a_start_at_zero():
    scale = RunningScale().updated(np.array([3.0])).updated(np.array([1.0]))

    # weights 0.09 and 0.1 of the squares 9 and 1, normalised by their sum
    np.testing.assert_allclose(scale.scale, np.sqrt((0.09 * 9 + 0.1 * 1) / 0.19))


def test_a_batch_without_signal_leaves_the_running_scale():
    scale = RunningScale().updated(np.array([3.0]))

    assert scale.updated(np.zeros(5)) == scale


@given(
    st.lists(
        st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=9), min_size=1, max_size=4
    )
)
def test_per_episode_standardisation_equals_the_article_s_listing(episodes):
    episodes = [episode for episode in episodes if len(set(episode)) > 1]
    if not episodes:
        return
    listing = []
    for episode in episodes:
        values = torch.tensor(episode, dtype=torch.float64)
        listing.append(((values - values.mean()) / values.std()).numpy())

    result = standardized_per_episode(
        np.concatenate(episodes), np.array([len(episode) for episode in episodes])
    )

    np.testing.assert_allclose(result, np.concatenate(listing), rtol=1e-8, atol=1e-8)


def test_per_episode_standardisation_of_one_step_or_of_equal_values_is_exactly_zero():
    values = np.array([7.0, 0.1, 0.1, 0.1, 0.1 + 1e-17])

    np.testing.assert_array_equal(standardized_per_episode(values, np.array([1, 4])), np.zeros(5))


def test_per_episode_standardisation_keeps_what_float64_resolves():
    values = 1e9 + np.array([0.25, 0.5, 0.75])  # 2e-10 of their size apart

    np.testing.assert_array_equal(standardized_per_episode(values, np.array([3])), [-1, 0, 1])


def test_rounding_is_no_advantage():
    one, other = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert one != other
    returns, baseline = np.repeat([one, other], 3), np.repeat([other, one], 3)

    found = without_rounding(returns - baseline, returns, np.array([3, 3]))

    np.testing.assert_array_equal(found, np.zeros(6))


@pytest.mark.case
def test_what_rounding_cannot_have_made_is_an_advantage():
    """Sums of three, and a mean of two: less than 5 epsilon of the largest return."""
    epsilon = 2.0**-52
    advantages = np.array([4.0, -5.0, 6.0, -6.0, 0.5, 1e7]) * 8 * epsilon

    found = without_rounding(advantages, np.full(6, -8.0), np.array([3, 3]))

    np.testing.assert_array_equal(found, [0, 0, *advantages[2:4], 0, advantages[5]])


def test_one_batch_of_extreme_weights_is_soon_forgotten():
    scale = RunningScale().updated(np.array([1.0]))
    heavy = scale.updated(np.array([1e13]))

    for _ in range(20):
        heavy = heavy.updated(np.array([1.0]))

    assert heavy.scale < 2.0
