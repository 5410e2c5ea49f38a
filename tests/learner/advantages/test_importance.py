import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_mdp import THETA, all_paths, log_pi

from reinforce.learner.advantages.importance import effective_sample_size, importance_weights

RATIOS = st.lists(st.lists(st.floats(-2, 2), min_size=1, max_size=8), min_size=1, max_size=5)


def flat(episodes):
    return np.concatenate(episodes), np.array([len(episode) for episode in episodes])


@given(episodes=RATIOS)
def test_per_decision_weights_equal_the_product_of_the_ratios_so_far(episodes):
    log_ratios, lengths = flat(episodes)

    weights = importance_weights("per_decision", log_ratios, lengths)

    prefix, reach = [], []
    for episode in episodes:
        product = 1.0
        for log_ratio in episode:
            reach.append(product)
            product *= math.exp(log_ratio)
            prefix.append(product)
    np.testing.assert_allclose(weights.prefix, prefix, rtol=1e-9)
    np.testing.assert_allclose(weights.reach, reach, rtol=1e-9)
    np.testing.assert_array_equal(weights.step, np.ones(len(log_ratios)))


@pytest.mark.parametrize("kind", ["none", "per_step", "per_decision"])
def test_data_of_the_current_policy_has_weight_one(kind):
    weights = importance_weights(kind, np.zeros(5), np.array([2, 3]))

    for values in (weights.prefix, weights.step, weights.reach):
        np.testing.assert_array_equal(values, np.ones(5))


def test_per_step_weights_are_the_ratios():
    weights = importance_weights("per_step", np.log([2.0, 3.0]), np.array([2]))

    np.testing.assert_allclose(weights.step, [2.0, 3.0])
    np.testing.assert_array_equal(weights.prefix, [1.0, 1.0])


def test_the_cap_cuts_and_self_normalisation_makes_the_mean_at_each_step_one():
    log_ratios, lengths = np.log([2.0, 2.0, 4.0]), np.array([2, 1])

    capped = importance_weights("per_decision", log_ratios, lengths, cap=3.0)
    normalised = importance_weights("per_decision", log_ratios, lengths, self_normalize=True)

    np.testing.assert_allclose(capped.prefix, [2.0, 3.0, 3.0])
    # at the second step the episode that has ended counts with its last weight: (4 + 4) / 2
    np.testing.assert_allclose(normalised.prefix, [2 / 3, 1.0, 4 / 3])


def test_self_normalisation_becomes_exact_with_many_episodes():
    """The mean of the prefix weights over all episodes of the behaviour policy tends to 1."""
    behavior = THETA + np.array([[1.0, -1.0], [-1.0, 1.0]])
    paths = all_paths()
    generator = np.random.default_rng(0)
    probabilities = np.exp([path.log_probability(behavior) for path in paths])
    drawn = [paths[i] for i in generator.choice(len(paths), 50_000, p=probabilities)]
    log_ratios = np.array(
        [log_pi(THETA, s, a) - log_pi(behavior, s, a) for path in drawn for s, a, _ in path.steps]
    )
    lengths = np.array([len(path.steps) for path in drawn])

    plain = importance_weights("per_decision", log_ratios, lengths)
    normalised = importance_weights("per_decision", log_ratios, lengths, self_normalize=True)

    np.testing.assert_allclose(normalised.prefix / plain.prefix, 1.0, atol=0.1)


def test_ratios_beyond_all_measure_stay_finite():
    weights = importance_weights("per_decision", np.full(1000, 9.0), np.array([1000]))

    assert np.isfinite(weights.prefix).all()


@given(episodes=RATIOS)
def test_the_effective_sample_size_is_a_share(episodes):
    log_ratios, lengths = flat(episodes)

    size = effective_sample_size(log_ratios, lengths)

    assert 1 / len(episodes) - 1e-9 <= size <= 1 + 1e-9


def test_equal_weights_are_worth_all_episodes_and_one_heavy_one_is_worth_itself():
    lengths = np.array([1, 1, 1, 1])

    assert effective_sample_size(np.zeros(4), lengths) == 1.0
    assert effective_sample_size(np.array([0.0, 0, 0, 99]), lengths) == pytest.approx(0.25)


@pytest.mark.parametrize(("shift", "expected"), [(0.3, 0.8278), (1.0, 0.1108)])
def test_the_effective_sample_size_on_the_reference_problem(shift, expected):
    """In the limit of many episodes of the behaviour policy: (E w)^2 / E w^2, by hand."""
    behavior = THETA + shift * np.array([[1, -1], [-1, 1]])
    second_moment = sum(
        math.exp(2 * path.log_probability(THETA) - path.log_probability(behavior))
        for path in all_paths()
    )
    assert 1 / second_moment == pytest.approx(expected, abs=1e-4)

    generator = np.random.default_rng(0)
    probabilities = np.exp([path.log_probability(behavior) for path in all_paths()])
    drawn = generator.choice(len(probabilities), 200_000, p=probabilities / probabilities.sum())
    log_weights = [
        sum(log_pi(THETA, s, a) - log_pi(behavior, s, a) for s, a, _ in path.steps)
        for path in all_paths()
    ]
    found = effective_sample_size(np.array(log_weights)[drawn], np.ones(len(drawn), np.int64))
    assert found == pytest.approx(expected, rel=0.1)
