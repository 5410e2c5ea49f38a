"""The advantages of a batch, against numbers worked out by hand and against a slow double loop."""

import hand_checks
import numpy as np
import pytest
from hand_checks import VALUES, batch_of, estimator_with

CHECKS = [check for name, check in vars(hand_checks).items() if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_was_worked_out_by_hand(check):
    check()


def advantages_by_the_book(batch, log_ratios, discount, gae_lambda, *, bootstrap):
    """``A[t] = gamma^t sum_{k >= t} (gamma lambda)^(k-t) w[k] delta[k]``, an episode at a time."""
    advantages, targets, start = [], [], 0
    for e, length in enumerate(batch.episode_lengths):
        rows = range(start, start + length)
        start += length
        values = [float(VALUES @ batch.observations[row]) for row in rows]
        is_cut = batch.truncated[e] and not batch.terminated[e]
        last = float(VALUES @ batch.final_observations[e]) if bootstrap and is_cut else 0.0
        following = [*values[1:], last]
        for t in range(length):
            total, target = 0.0, discount ** (length - t) * last
            for k in range(t, length):
                weight = np.exp(sum(log_ratios[rows[j]] for j in range(k + 1)))
                delta = batch.rewards[rows[k]] + discount * following[k] - values[k]
                total += (discount * gae_lambda) ** (k - t) * weight * delta
                target += discount ** (k - t) * batch.rewards[rows[k]]
            advantages.append(discount**t * total)
            targets.append(target)
    return advantages, targets


def random_batch(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 6, 5)
    steps = int(lengths.sum())
    terminated, truncated = generator.random((2, 5)) < 0.5
    return batch_of(
        states=generator.integers(0, 2, steps).tolist(),
        rewards=generator.normal(size=steps),
        lengths=lengths,
        final_states=generator.integers(0, 2, 5).tolist(),
        terminated=terminated,
        truncated=truncated | ~terminated,
    ), generator.normal(size=steps)


@pytest.mark.parametrize("truncation", ["as_termination", "bootstrap"])
@pytest.mark.parametrize(("discount", "gae_lambda"), [(0.9, 1.0), (0.9, 0.8), (0.5, 0.0)])
def test_advantages_with_a_value_function_equal_the_double_loop(truncation, discount, gae_lambda):
    estimator = estimator_with(
        discount=discount,
        gae_lambda=gae_lambda,
        truncation=truncation,
        discount_state_weight=True,
    )
    for seed in range(20):
        batch, log_ratios = random_batch(seed)

        found = estimator.estimate(batch, log_ratios)

        advantages, targets = advantages_by_the_book(
            batch, log_ratios, discount, gae_lambda, bootstrap=truncation == "bootstrap"
        )
        np.testing.assert_allclose(found.advantages, advantages, atol=1e-9)
        np.testing.assert_allclose(found.targets, targets, atol=1e-9)
