import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl

from reinforce.learner.loss import kl_divergence, signal_and_noise
from reinforce.learner.networks.torch_distributions import Categorical as OurCategorical


def test_two_parts_by_hand():
    # mean (3, 0), deviations (1, 0) and (-1, 0): noise 2 / (2 * 1) = 1, signal 9 - 1
    assert signal_and_noise([np.array([4.0, 0.0]), np.array([2.0, 0.0])]) == (8.0, 1.0)


@pytest.mark.parametrize(("length", "dimensions"), [(0.0, 1), (0.5, 1), (0.3, 50)])
def test_both_are_unbiased(length, dimensions):
    """Parts with mean m, deviation s: the mean of M of them has signal |m|^2, noise P s^2 / M."""
    generator = np.random.default_rng(0)
    mean, parts = np.full(dimensions, length), 8
    found = np.array(
        [
            signal_and_noise(list(mean + generator.normal(size=(parts, dimensions))))
            for _ in range(5000)
        ]
    )

    errors = found.std(axis=0) / np.sqrt(len(found))
    assert abs(found.mean(axis=0) - [mean @ mean, dimensions / parts]) == pytest.approx(
        [0, 0], abs=4 * errors.max()
    )


def test_one_part_says_nothing_and_agreeing_parts_are_all_signal():
    assert all(math.isnan(value) for value in signal_and_noise([np.ones(3)]))
    assert signal_and_noise([np.zeros(3), np.zeros(3)]) == (0.0, 0.0)
    assert signal_and_noise([np.ones(3), np.ones(3)]) == (3.0, 0.0)


def test_the_divergence_is_that_of_torch_s_distributions():
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randn(2, 7, 3, generator=generator)

    expected = kl.kl_divergence(Categorical(logits=before), Categorical(logits=after)).mean()

    found = kl_divergence(OurCategorical(before), OurCategorical(after))
    assert found == pytest.approx(float(expected), rel=1e-5)
    assert kl_divergence(OurCategorical(before), OurCategorical(before)) == 0.0
