"""Robust means and bootstrap intervals, against slow and hand-made answers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reinforce.cluster.analysis.seed_statistics import bootstrap_interval, interquartile_mean

SCORES = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3))


@given(SCORES)
def test_the_interquartile_mean_drops_a_quarter_at_each_end(scores):
    left = sorted(scores)
    for _ in range(len(scores) // 4):
        left.remove(min(left))
        left.remove(max(left))

    assert interquartile_mean(scores) == pytest.approx(sum(left) / len(left), abs=1e-9)


def test_one_outlier_in_four_moves_the_mean_and_not_the_interquartile_mean():
    scores = np.array([1.0, 2.0, 3.0, 1e6])

    assert interquartile_mean(scores) == 2.5
    assert np.mean(scores) > 2e5


def test_statistics_go_over_runs_column_by_column():
    values = np.array([[0.0, 8.0], [4.0, 9.0], [5.0, 10.0], [99.0, 11.0]])

    assert interquartile_mean(values).tolist() == [4.5, 9.5]
    low, high = bootstrap_interval(values, np.mean, 100)
    assert low.shape == high.shape == (2,)


def test_the_interval_of_two_runs_is_theirs():
    """A resample of {0, 1} has the mean 0, 1/2 or 1 with the odds 1 : 2 : 1."""
    low, high = bootstrap_interval(np.array([0.0, 1.0]), np.mean, 1000)

    assert (low, high) == (0.0, 1.0)


def test_the_interval_is_that_of_a_slow_bootstrap():
    """The exact distribution of the mean of four draws, by all 256 of them."""
    values = [1.0, 2.0, 6.0, 7.0]
    means = [sum(draw) / 4 for draw in product(values, repeat=4)]

    low, high = bootstrap_interval(np.array(values), np.mean, 20_000)

    for found, percent in ((low, 2.5), (high, 97.5)):
        exact = np.percentile(means, percent, method="inverted_cdf")
        assert found == pytest.approx(exact, abs=0.26)  # neighbours are 1/4 apart


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [bootstrap_interval(generator.normal(size=30), np.mean, 400) for _ in range(300)]

    covered = sum(low <= 0 <= high for low, high in intervals) / 300

    assert 0.90 <= covered <= 0.98


@given(SCORES, st.floats(-50, 50))
def test_shifted_scores_have_shifted_intervals(scores, shift):
    if len(scores) < 2:
        assert np.isnan(bootstrap_interval(scores, np.mean, 10)).all()
        return
    low, high = bootstrap_interval(scores, interquartile_mean, 50)
    shifted_low, shifted_high = bootstrap_interval(scores + shift, interquartile_mean, 50)

    assert shifted_low == pytest.approx(low + shift, abs=1e-6)
    assert shifted_high == pytest.approx(high + shift, abs=1e-6)
