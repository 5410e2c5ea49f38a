"""Checks that a right estimator passes and a wrong one must not; shared by proofs and mutations."""

import math

import estimator_bias
import numpy as np
from reference_mdp import (
    ARCHITECTURE,
    THETA,
    all_batches,
    all_paths,
    as_table,
    flat_weights,
    log_pi,
    true_gradient,
)

from reinforce.configs.config import Config
from reinforce.configs.learning import LearnerConfig
from reinforce.learner.learner import Learner
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker
from reinforce.workers.tickets import Purpose, draw_tickets

CASES = {case.name: case for case in estimator_bias.CASES}


def check_exactly(name):
    """The expected gradient of an unbiased case is the true one."""
    found = estimator_bias.judge(CASES[name])
    np.testing.assert_allclose(found.expected, found.true, atol=1e-6)


def check_bootstrap_values():
    """Where nothing was truncated, bootstrapping changes nothing; where it was, it does."""
    plain = estimator_bias.judge(CASES["value"])
    bootstrapped = estimator_bias.judge(CASES["value, bootstrap"])
    assert (
        0.09
        < np.linalg.norm(bootstrapped.expected - plain.expected) / np.linalg.norm(plain.true)
        < 0.12
    )


def check_entropy_gradient():
    """The bonus adds the gradient of the analytic entropy at the states that are visited."""
    coefficient = 0.5
    expected = np.zeros((2, 2))
    for path in all_paths():
        weight = math.exp(path.log_probability(THETA))
        for state, _, _ in path.steps:
            pi = np.exp([log_pi(THETA, state, action) for action in (0, 1)])
            # d H / d logit_a = -pi_a (log pi_a + H)
            entropy = -(pi * np.log(pi)).sum()
            expected[state] += weight * coefficient * -pi * (np.log(pi) + entropy)
    options = {**estimator_bias.PLAIN, "entropy_coefficient": coefficient}
    learner = Learner(LearnerConfig(**options), ARCHITECTURE, seed=0)
    learner.load_state(LearnerState(0, {**learner.state().arrays, "weights": flat_weights()}))
    found = sum(p * as_table(learner.gradient([batch])) for p, batch in all_batches(1))
    np.testing.assert_allclose(found - true_gradient(1.0), expected, atol=1e-6)


def sampling_config(num_lanes=16):
    """The reference problem as an environment, played with many lanes."""
    return Config.model_validate(
        {
            "environment": {"id": "reference_mdp:ReferenceMDP-v0"},
            "policy": {"hidden_sizes": []},
            "learner": estimator_bias.PLAIN,
            "workers": {"envs_per_worker": num_lanes},
        }
    )


def assert_unbiased(gradients, limit=4.5):
    """Every coordinate of the mean of independent gradients is within ``limit`` standard errors."""
    gradients = np.array(gradients)
    errors = gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients))
    z_scores = np.abs(gradients.mean(axis=0) - true_gradient(1.0)) / errors
    assert z_scores.max() < limit, f"z-scores {z_scores}"


def check_by_sampling(num_tickets=40, episodes_per_ticket=150):
    """Episodes that the production worker plays give the true gradient."""
    config = sampling_config()
    worker = RolloutWorker(config, inspect_environment(config.environment))
    learner = Learner(config.learner, ARCHITECTURE, seed=0)
    learner.load_state(LearnerState(0, {**learner.state().arrays, "weights": flat_weights()}))
    weights = Weights(0, flat_weights())
    tickets = draw_tickets(
        1, Purpose.TRAINING, 0, num_tickets * episodes_per_ticket, episodes_per_ticket
    )
    assert_unbiased(
        [as_table(learner.gradient([worker.play(ticket, weights)[1]])) for ticket in tickets]
    )
