"""The advantages of a batch, against numbers worked out by hand and against a slow double loop."""

import math

import hand_checks
import numpy as np
import pytest
from estimator_bias import FAR
from hand_checks import VALUES, batch_of, estimator_with
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_mdp import THETA, all_paths, as_trajectories, log_pi, true_gradient

BASELINES = ["none", "leave_one_out", "time", "linear", "value"]
CHECKS = [check for name, check in vars(hand_checks).items() if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_was_worked_out_by_hand(check):
    check()


def rows_of(batch):
    """The rows of each episode."""
    ends = np.cumsum(batch.episode_lengths)
    return [
        range(end - length, end) for end, length in zip(ends, batch.episode_lengths, strict=True)
    ]


def to_go_by_the_book(batch, discount, e, t, weights=None):
    rows = rows_of(batch)[e]
    weight = np.ones(batch.num_steps) if weights is None else weights
    return sum(
        discount ** (k - t) * weight[rows[k]] * float(batch.rewards[rows[k]])
        for k in range(t, len(rows))
    )


def weights_by_the_book(batch, log_ratios, cap, *, self_normalize=False):
    """``w`` of every step: the product so far, over its mean if wanted, and then cut.

    The mean is over all episodes; one that has ended counts with its last product.
    """
    products = [np.exp(np.cumsum(log_ratios[rows])) for rows in rows_of(batch)]
    weights = []
    for of_episode in products:
        for k, product in enumerate(of_episode):
            mean = np.mean([other[min(k, len(other) - 1)] for other in products])
            weights.append(min(product / mean if self_normalize else product, cap))
    return weights


def baseline_by_the_book(kind, batch, discount, e, t, weights=None):
    """``b`` of step t of episode e, from its table in docs/derivation.md."""
    episodes = rows_of(batch)
    if kind in ("linear", "value"):
        return float(VALUES @ batch.observations[episodes[e][t]])
    others = [j for j in range(len(episodes)) if j != e]
    if kind == "leave_one_out":
        return np.mean([to_go_by_the_book(batch, discount, j, 0) for j in others])
    alive = [j for j in others if len(episodes[j]) > t]
    if kind == "none" or not alive:
        return 0.0
    total = sum(to_go_by_the_book(batch, discount, j, t, weights) for j in alive)
    is_weighted = weights is not None and t > 0
    return total / sum(weights[episodes[j][t - 1]] if is_weighted else 1.0 for j in alive)


def advantages_by_the_book(kind, batch, weights, discount, gae_lambda=1, cut=0):
    """``A[t] = gamma^t sum_{k >= t} (gamma lambda)^(k-t) w[k] delta[k]``, an episode at a time.

    ``cut`` is 1 where an episode that was cut goes on with its value, 0 where it ends.
    """
    advantages, targets = [], []
    for e, rows in enumerate(rows_of(batch)):
        length = len(rows)
        values = [baseline_by_the_book(kind, batch, discount, e, t, weights) for t in range(length)]
        is_cut = batch.truncated[e] and not batch.terminated[e]
        last = cut * is_cut * float(VALUES @ batch.final_observations[e])
        following = [*values[1:], last]
        for t in range(length):
            total = 0.0
            for k in range(t, length):
                delta = batch.rewards[rows[k]] + discount * following[k] - values[k]
                total += (discount * gae_lambda) ** (k - t) * weights[rows[k]] * delta
            advantages.append(discount**t * total)
            targets.append(
                to_go_by_the_book(batch, discount, e, t) + discount ** (length - t) * last
            )
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

        weights = weights_by_the_book(batch, log_ratios, np.inf)
        advantages, targets = advantages_by_the_book(
            "value", batch, weights, discount, gae_lambda, cut=truncation == "bootstrap"
        )
        np.testing.assert_allclose(found.advantages, advantages, atol=1e-9)
        np.testing.assert_allclose(found.targets, targets, atol=1e-9)


@pytest.mark.parametrize("self_normalize", [False, True])
@pytest.mark.parametrize("cap", [None, 1.0, 1.5])
@pytest.mark.parametrize("baseline", BASELINES)
def test_advantages_under_importance_weights_equal_the_double_loop(baseline, cap, self_normalize):
    """Several episodes of unequal length, gamma < 1 with gamma^t, and data of another policy."""
    estimator = estimator_with(
        baseline=baseline,
        discount=0.9,
        discount_state_weight=True,
        importance_cap=cap,
        importance_self_normalize=self_normalize,
    )
    for seed in range(20):
        batch, log_ratios = random_batch(seed)

        found = estimator.estimate(batch, log_ratios)

        weights = weights_by_the_book(
            batch, log_ratios, cap or np.inf, self_normalize=self_normalize
        )
        advantages, _ = advantages_by_the_book(baseline, batch, weights, 0.9)
        np.testing.assert_allclose(found.advantages, advantages, atol=1e-9)


def test_the_share_that_a_baseline_removed_is_of_the_returns_not_of_what_lambda_leaves_of_them():
    """gamma = 1/2, lambda = 0, V = 2 and 4; the last episode has weights of 2 in both its steps."""
    estimator = estimator_with(discount=0.5, gae_lambda=0.0)

    found = estimator.estimate(hand_checks.EPISODES, np.log([1.0, 1.0, 1.0, 2.0, 1.0]))

    # weighted deltas: 1 + 4/2 - 2, 4 - 4 | 3 - 4 | 2 (1 + 2/2 - 2), 2 (0 - 2)
    np.testing.assert_allclose(found.advantages, [1, 0, -1, 0, -4])
    # of the returns 1 + 4/2, 4 | 3 | 2 * 1, 0
    expected = 1 - (1 + 1 + 16) / (9 + 16 + 9 + 4)
    assert found.metrics["baseline_variance_removed"] == pytest.approx(expected)


@pytest.mark.parametrize("baseline", BASELINES)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), discount=st.floats(0, 1))
def test_weights_of_one_give_the_advantages_of_the_current_policy(baseline, seed, discount):
    """To the last bit: the sum of the later baselines, each times 0, is 0."""
    batch, log_ratios = random_batch(seed)
    options = {"baseline": baseline, "discount": discount}

    unweighted = estimator_with(**options, importance_correction="none")
    found = unweighted.estimate(batch, log_ratios).advantages

    current = estimator_with(**options).estimate(batch, np.zeros(batch.num_steps))
    np.testing.assert_array_equal(found, current.advantages)
    expected = [
        to_go_by_the_book(batch, discount, e, t)
        - baseline_by_the_book(baseline, batch, discount, e, t)
        for e, rows in enumerate(rows_of(batch))
        for t in range(len(rows))
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(max_examples=10)
@given(values=st.tuples(st.floats(-100, 100), st.floats(-100, 100)), shift=st.floats(-100, 100))
def test_no_shift_of_the_baseline_moves_the_expected_gradient(values, shift):
    """Whole weights of a policy far away, gamma < 1: exact sums over all episodes."""

    def expected_gradient(values):
        options = {"baseline": "linear", "discount": 0.9, "discount_state_weight": True}
        estimator = estimator_with(values, **options)
        total = np.zeros((2, 2))
        for path in all_paths():
            batch = as_trajectories((path,), FAR)
            ratios = [log_pi(THETA, s, a) - log_pi(FAR, s, a) for s, a, _ in path.steps]
            found = estimator.estimate(batch, np.array(ratios)).advantages
            for (state, action, _), advantage in zip(path.steps, found, strict=True):
                score = np.eye(2)[action] - np.exp([log_pi(THETA, state, a) for a in (0, 1)])
                total[state] += math.exp(path.log_probability(FAR)) * advantage * score
        return total

    shifted = expected_gradient(np.array(values) + shift)

    np.testing.assert_allclose(shifted, expected_gradient(np.array(values)), atol=1e-9)
    np.testing.assert_allclose(shifted, true_gradient(0.9), atol=1e-9)
