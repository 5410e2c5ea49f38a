import numpy as np
import pytest

from cluster.evaluation import Evaluation, t_quantile_97_5


def test_the_interval_by_hand():
    evaluation = Evaluation.of(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), greedy=True)

    # sample variance 3.5, standard error sqrt(3.5/6), t with 5 degrees of freedom 2.571
    half_width = 2.571 * np.sqrt(3.5 / 6)
    assert evaluation.return_mean == 3.5
    assert evaluation.return_ci95 == pytest.approx((3.5 - half_width, 3.5 + half_width), rel=0.005)
    assert (evaluation.return_min, evaluation.return_max, evaluation.episodes) == (1.0, 6.0, 6)


@pytest.mark.parametrize(
    ("degrees_of_freedom", "quantile"), [(4, 2.776), (9, 2.262), (30, 2.042), (99, 1.984)]
)
def test_the_quantiles_are_those_of_the_tables(degrees_of_freedom, quantile):
    assert t_quantile_97_5(degrees_of_freedom) == pytest.approx(quantile, rel=0.005)


@pytest.mark.parametrize("episodes", [5, 20, 100])
def test_the_interval_covers_the_mean_in_about_95_of_100_cases(episodes):
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = Evaluation.of(generator.normal(7.0, 3.0, episodes), greedy=True).return_ci95
        covered += low <= 7.0 <= high

    assert 0.93 < covered / 2000 < 0.97
