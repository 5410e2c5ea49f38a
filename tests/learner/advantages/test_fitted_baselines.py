from dataclasses import replace

import hand_checks
import numpy as np
import torch
from reference_mdp import ARCHITECTURE, all_paths, as_trajectories

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.baselines import LinearBaseline
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.learner import Learner
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import episode_starts, select

BATCH = as_trajectories(tuple(all_paths()) * 20)
TARGETS = rewards_to_go(BATCH.rewards, BATCH.episode_lengths, 1.0)


def value_baseline(seed=0):
    config = LearnerConfig(value_learning_rate=0.01, micro_batch_steps=512)
    return ValueBaseline(config, ARCHITECTURE, seed)


def test_before_the_first_fit_both_are_zero():
    assert not LinearBaseline().values(BATCH).any()
    assert not value_baseline().values(BATCH).any()


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
        np.testing.assert_allclose(baseline.values(BATCH)[rows], expected, atol=0.2)


def test_a_restored_value_function_goes_on_bit_by_bit():
    baseline, restored = value_baseline(), value_baseline(seed=0)
    baseline.fit(BATCH, TARGETS)
    restored.load_arrays(baseline.arrays())

    baseline.fit(BATCH, TARGETS)
    restored.fit(BATCH, TARGETS)

    np.testing.assert_array_equal(baseline.values(BATCH), restored.values(BATCH))


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

    assert np.isfinite(baseline.values(BATCH)).all()


def test_the_value_after_the_last_step_remembers_the_episode():
    baseline, batch = hand_checks.remembering_values()
    longer = [
        np.vstack([batch.observations[start : start + length], final])
        for start, length, final in zip(
            episode_starts(batch.episode_lengths),
            batch.episode_lengths,
            batch.final_observations,
            strict=True,
        )
    ]
    alone = [
        baseline.values(
            replace(
                select(batch, np.array([0])),
                observations=rows,
                actions=np.zeros(len(rows), np.int64),
                rewards=np.zeros(len(rows)),
                behavior_log_probs=np.zeros(len(rows), np.float32),
                episode_lengths=np.array([len(rows)]),
            )
        )[-1]
        for rows in longer
    ]

    np.testing.assert_allclose(baseline.values_after_last(batch), alone, rtol=1e-5)
