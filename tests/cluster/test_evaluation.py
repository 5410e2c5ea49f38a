import numpy as np
import pytest

from cluster.evaluation import Evaluation


def test_the_interval_by_hand():
    evaluation = Evaluation.of(np.array([1.0, 2.0, 3.0, 4.0]), greedy=True)

    # sample deviation sqrt(5/3), standard error sqrt(5/12)
    half_width = 1.959963984540054 * np.sqrt(5 / 12)
    assert evaluation.return_mean == 2.5
    assert evaluation.return_ci95 == pytest.approx((2.5 - half_width, 2.5 + half_width))
    assert (evaluation.return_min, evaluation.return_max, evaluation.episodes) == (1.0, 4.0, 4)


def test_the_interval_covers_the_mean_in_about_95_of_100_cases():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = Evaluation.of(generator.normal(7.0, 3.0, 100), greedy=True).return_ci95
        covered += low <= 7.0 <= high

    assert 0.93 < covered / 2000 < 0.97
