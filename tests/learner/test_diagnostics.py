import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl

from learner.diagnostics import gradient_snr, kl_divergence


def test_the_ratio_of_two_parts_by_hand():
    # mean (3, 0), deviations (1, 0) and (-1, 0): noise 2 / (2 * 1) = 1, signal 9 - 1
    parts = [np.array([4.0, 0.0]), np.array([2.0, 0.0])]

    assert gradient_snr(parts) == 8.0


def test_the_ratio_estimates_signal_over_noise():
    """Parts with mean m, deviation s: the mean of M of them has signal |m|^2, noise P s^2 / M."""
    generator = np.random.default_rng(0)
    mean, deviation, parts = np.full(50, 0.3), 1.0, 8
    truth = (mean @ mean) / (50 * deviation**2 / parts)
    found = [
        gradient_snr(list(mean + deviation * generator.normal(size=(parts, 50))))
        for _ in range(2000)
    ]

    assert np.mean(found) == pytest.approx(truth, rel=0.05)


def test_one_part_says_nothing_and_agreeing_parts_are_all_signal():
    assert math.isnan(gradient_snr([np.ones(3)]))
    assert math.isnan(gradient_snr([np.zeros(3), np.zeros(3)]))
    assert gradient_snr([np.ones(3), np.ones(3)]) == math.inf


def test_pure_noise_is_never_below_zero():
    assert gradient_snr([np.array([1.0]), np.array([-1.0])]) == 0.0


def test_the_divergence_is_that_of_torch_s_distributions():
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randn(2, 7, 3, generator=generator)

    expected = kl.kl_divergence(Categorical(logits=before), Categorical(logits=after)).mean()

    assert kl_divergence(before, after) == pytest.approx(float(expected), rel=1e-5)
    assert kl_divergence(before, before) == 0.0
