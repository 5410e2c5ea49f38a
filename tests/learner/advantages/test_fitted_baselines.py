import numpy as np
import torch
from reference_mdp import ARCHITECTURE, all_paths, as_trajectories

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.baselines import LinearBaseline
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.learner import Learner
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import step_indices

BATCH = as_trajectories(tuple(all_paths()) * 20)
TARGETS = rewards_to_go(BATCH.rewards, BATCH.episode_lengths, 1.0)
STEPS = step_indices(BATCH.episode_lengths)


def value_baseline(seed=0):
    config = LearnerConfig(value_learning_rate=0.01, micro_batch_steps=512)
    return ValueBaseline(config, ARCHITECTURE, seed)


def test_before_the_first_fit_both_are_zero():
    assert not LinearBaseline().values(BATCH).any()
    assert not value_baseline().values(BATCH.observations, STEPS).any()


def test_the_linear_fit_is_the_least_squares_solution():
    """Observations are one-hot: with o and o^2 equal, the ridge shares the weight between them."""
    baseline = LinearBaseline()
    baseline.fit(BATCH, TARGETS)

    left = TARGETS - baseline.values(BATCH)

    # the residual of a least-squares fit is orthogonal to every feature, here to each state
    for state in (0, 1):
        assert abs((left * BATCH.observations[:, state]).mean()) < 1e-3
    assert left.var() < TARGETS.var()


def test_the_linear_fit_survives_observations_without_limits():
    baseline = LinearBaseline()
    big = as_trajectories(tuple(all_paths()))
    big.observations[:] = 3e38

    baseline.fit(big, TARGETS[: big.num_steps])

    assert np.isfinite(baseline.values(big)).all()


def test_the_value_function_learns_the_mean_of_the_targets_in_each_state():
    baseline = value_baseline()
    for _ in range(30):
        baseline.fit(BATCH, TARGETS)

    for state in (0, 1):
        rows = BATCH.observations[:, state] == 1
        expected = TARGETS[rows].mean()
        np.testing.assert_allclose(
            baseline.values(BATCH.observations[rows], STEPS[rows]), expected, atol=0.2
        )


def test_a_restored_value_function_goes_on_bit_by_bit():
    baseline, restored = value_baseline(), value_baseline(seed=0)
    baseline.fit(BATCH, TARGETS)
    restored.load_arrays(baseline.arrays())

    baseline.fit(BATCH, TARGETS)
    restored.fit(BATCH, TARGETS)

    np.testing.assert_array_equal(
        baseline.values(BATCH.observations, STEPS), restored.values(BATCH.observations, STEPS)
    )


def test_policy_and_value_function_begin_with_hidden_layers_of_their_own():
    architecture = PolicyArchitecture.mlp(
        observation_size=2, hidden_sizes=(8,), activation="tanh", num_actions=2
    )
    config = LearnerConfig(baseline="value")

    arrays = Learner(config, architecture, seed=0).state().arrays

    hidden = 2 * 8
    assert not np.isin(arrays["weights"][:hidden], arrays["estimator.value.weights"]).any()


def test_the_shuffles_of_neighbouring_seeds_have_nothing_in_common(monkeypatch):
    """``seed + n`` made fit 1 of seed 0 go through the batch as fit 0 of seed 1 did."""
    orders = {}
    randperm = torch.randperm

    def recorded(num, generator):
        order = randperm(num, generator=generator)
        orders[seed].append(tuple(order.tolist()))
        return order

    monkeypatch.setattr(torch, "randperm", recorded)
    for seed in (0, 1):
        orders[seed] = []
        baseline = value_baseline(seed)
        for _ in range(2):
            baseline.fit(BATCH, TARGETS)

    assert len({*orders[0], *orders[1]}) == len(orders[0]) + len(orders[1]) == 16


def test_constant_targets_are_no_trouble():
    baseline = value_baseline()
    baseline.fit(BATCH, np.full(BATCH.num_steps, 7.0))

    assert np.isfinite(baseline.values(BATCH.observations, STEPS)).all()
