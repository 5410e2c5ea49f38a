import math

import numpy as np
import pytest
import torch
from hand_checks import batch_of
from reference_mdp import ARCHITECTURE
from torch.distributions import Categorical, kl

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.gradient import PolicyPasses
from reinforce.learner.loss import kl_divergence, signal_and_noise
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.networks.torch_distributions import Categorical as OurCategorical


def test_two_parts_by_hand():
    # mean (3, 0), deviations (1, 0) and (-1, 0): noise 2 / (2 * 1) = 1, signal 9 - 1
    assert signal_and_noise([np.array([4.0, 0.0]), np.array([2.0, 0.0])], [5, 5]) == (8.0, 1.0)


def test_parts_of_one_and_of_three_episodes_by_hand():
    # mean (5 + 3 * 1) / 4 = 2, squares 9 and 1: noise (1 * 9 + 3 * 1) / (4 * 1) = 3, signal 4 - 3
    assert signal_and_noise([np.array([5.0]), np.array([1.0])], [1, 3]) == (1.0, 3.0)


@pytest.mark.parametrize(("length", "dimensions"), [(0.0, 1), (0.5, 1), (0.3, 50)])
@pytest.mark.parametrize("sizes", [[1] * 8, [1, 2] * 4, [1, 3, 9]])
def test_both_are_unbiased(length, dimensions, sizes):
    """Episodes with mean m, deviation s: the mean of E has signal |m|^2, noise P s^2 / E."""
    generator = np.random.default_rng(0)
    mean, deviations = np.full(dimensions, length), 1 / np.sqrt(sizes)[:, None]
    found = np.array(
        [
            signal_and_noise(
                list(mean + deviations * generator.normal(size=(len(sizes), dimensions))), sizes
            )
            for _ in range(5000)
        ]
    )

    errors = found.std(axis=0) / np.sqrt(len(found))
    assert abs(found.mean(axis=0) - [mean @ mean, dimensions / sum(sizes)]) == pytest.approx(
        [0, 0], abs=4 * errors.max()
    )


def test_one_part_says_nothing_and_agreeing_parts_are_all_signal():
    assert all(math.isnan(value) for value in signal_and_noise([np.ones(3)], [4]))
    assert signal_and_noise([np.zeros(3), np.zeros(3)], [2, 2]) == (0.0, 0.0)
    assert signal_and_noise([np.ones(3), np.ones(3)], [1, 2]) == (3.0, 0.0)


@pytest.mark.parametrize("entropy_coefficient", [0.0, 10.0])
def test_nine_episodes_of_one_step_by_hand_with_a_bonus_or_without(entropy_coefficient):
    """pi = 1/4 and 3/4: the score of the first action is u = (3/4, -3/4), in a weight and a bias.

    Groups of 1, 1, 1, 1, 1, 1, 1 and 2 episodes, whose advantages are 3 in the first seven and 0 in
    the last: |u|^2 = 9/4 times a mean of 7/3, and times (7 * 1 * 4/9 + 2 * 49/9) / (9 * 7) = 2/9.
    """
    network = PolicyNetwork(ARCHITECTURE, torch.Generator())
    network.load_flat_weights(np.array([0, 0, 0, 0, 0, math.log(3)], np.float32))
    passes = PolicyPasses(LearnerConfig(), ARCHITECTURE, network)
    advantages = np.array([3.0] * 7 + [0.0] * 2)
    ended = [True] * 9
    batch = batch_of([0] * 9, advantages, [1] * 9, [0] * 9, terminated=ended, truncated=ended)

    found = passes.differentiate(batch, advantages, entropy_coefficient)

    assert found["gradient_noise"] == pytest.approx(9 / 4 * 2 / 9)
    assert found["gradient_signal"] == pytest.approx(9 / 4 * (7 / 3) ** 2 - 1 / 2)
    assert found["gradient_snr"] == pytest.approx(11.75 / 0.5)


def test_the_divergence_is_that_of_torch_s_distributions():
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randn(2, 7, 3, generator=generator)

    expected = kl.kl_divergence(Categorical(logits=before), Categorical(logits=after)).mean()

    parts = [[OurCategorical(part) for part in logits.split(4)] for logits in (before, after)]
    assert kl_divergence(*parts) == pytest.approx(float(expected), rel=1e-5)
    assert kl_divergence(parts[0], parts[0]) == 0.0
