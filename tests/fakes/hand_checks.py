"""Checks against numbers worked out by hand; shared by the tests of the estimator and mutations."""

import math
from dataclasses import replace

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete
from reference_mdp import ARCHITECTURE, THETA, all_paths, as_trajectories, one_hot

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages import importance
from reinforce.learner.advantages.estimator import Estimator
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.learner import Learner
from reinforce.learner.networks.torch_distributions import make_torch_distribution
from reinforce.learner.policies.distributions import make_distribution
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.state import LearnerState
from reinforce.workers.spaces import action_layout

VALUES = np.array([2.0, 4.0])
"""What the value function says of the two states of the reference problem."""


def estimator_with(values=VALUES, **options):
    """Return an estimator whose fitted baseline, if it has one, says these values of states."""
    settings = {"baseline": "value", "advantage_scale": "none", **options}
    sees_time = "value_horizon_steps" in options
    estimator = Estimator(LearnerConfig(**settings), ARCHITECTURE, seed=0)
    fitted = {
        "linear": np.array([*values, *[0.0] * 6]),  # of o; of o^2, t, t^2, t^3 and 1 nothing
        # of the two states, of t in units of the horizon if it is seen, and a bias
        "value.weights": np.array([*values, *[1.0] * sees_time, 0.0], np.float32),
        "value.statistics": np.array([0.0, 1.0, 1.0]),  # mean, deviation, number of fits
    }
    estimator.load_arrays({**estimator.arrays(), **fitted})
    return estimator


def batch_of(states, rewards, lengths, final_states, terminated, truncated):
    """Return episodes of the reference problem, of which the actions do not matter."""
    return Trajectories(
        policy_version=0,
        observations=one_hot(states),
        actions=np.zeros(len(states), np.int64),
        rewards=np.array(rewards, np.float64),
        behavior_log_probs=np.full(len(states), -math.log(2), np.float32),
        episode_lengths=np.array(lengths),
        terminated=np.array(terminated),
        truncated=np.array(truncated),
        final_observations=one_hot(final_states),
    )


EPISODES = batch_of(
    states=[0, 1, 1, 0, 0],
    rewards=[1.0, 4.0, 3.0, 1.0, 0.0],
    lengths=[2, 1, 2],
    final_states=[1, 0, 1],
    terminated=[False, True, True],
    truncated=[True, True, False],
)
"""One that was cut, one that was cut in the very step that ended it, and one that ended."""


def check_bootstrapped_advantages():
    """gamma = lambda = 1/2, V = 2 and 4: ``delta = r + V'/2 - V``, ``A = delta + A'/4``."""
    estimator = estimator_with(discount=0.5, gae_lambda=0.5, truncation="bootstrap")

    found = estimator.estimate(EPISODES, np.zeros(5))

    # deltas: 1 + 4/2 - 2 = 1, 4 + 4/2 - 4 = 2 | 3 + 0 - 4 = -1 | 1 + 2/2 - 2 = 0, 0 + 0 - 2 = -2
    np.testing.assert_array_equal(found.advantages, [1 + 2 / 4, 2, -1, 0 - 2 / 4, -2])
    # to go, after 4/2 was added to the last reward of the first: 1 + 6/2, 6 | 3 | 1 + 0/2, 0
    np.testing.assert_array_equal(found.targets, [4, 6, 3, 1, 0])


def check_values_that_see_time():
    """gamma = lambda = 1/2, V = 2 + t/2 and 4 + t/2, and 0 behind the last step."""
    estimator = estimator_with(discount=0.5, gae_lambda=0.5, value_horizon_steps=2)

    found = estimator.estimate(EPISODES, np.zeros(5))

    # deltas: 1 + 4.5/2 - 2 = 1.25, 4 - 4.5 = -.5 | 3 - 4 = -1 | 1 + 2.5/2 - 2 = .25, 0 - 2.5 = -2.5
    expected = [1.25 - 0.5 / 4, -0.5, -1, 0.25 - 2.5 / 4, -2.5]
    np.testing.assert_array_equal(found.advantages, expected)


def check_the_fit_of_values_that_see_time():
    """Steps that look alike, in episodes of three with a reward of 1 each: 3 - t is left."""
    ended = [True] * 6
    batch = batch_of([0] * 18, [1.0] * 18, [3] * 6, [0] * 6, ended, ended)
    settings = LearnerConfig(value_horizon_steps=3, value_learning_rate=0.05)
    baseline = ValueBaseline(settings, ARCHITECTURE, seed=0)

    for _ in range(40):
        baseline.fit(batch, np.array([3.0, 2.0, 1.0] * 6))

    np.testing.assert_allclose(baseline.values(batch)[:3], [3.0, 2.0, 1.0], atol=0.05)


def check_the_fit_of_values_that_remember():
    """State 0 or 1 first, then twice state 0, with a reward of 1 at the end only after state 1."""
    ended = [True] * 6
    batch = batch_of(
        [0, 0, 0, 1, 0, 0] * 3, [0, 0, 0, 0, 0, 1.0] * 3, [3] * 6, [0] * 6, ended, ended
    )
    settings = LearnerConfig(value_memory=True, value_learning_rate=0.03)
    baseline = ValueBaseline(settings, replace(ARCHITECTURE, hidden_sizes=(8,)), seed=0)

    for _ in range(40):
        baseline.fit(batch, np.array([0.0, 0, 0, 1, 1, 1] * 3))

    np.testing.assert_allclose(baseline.values(batch)[:6], [0, 0, 0, 1, 1, 1], atol=0.05)


def remembering_values():
    """A value function with a memory that has seen all paths, and those paths once each."""
    batch = as_trajectories(tuple(all_paths()))
    targets = rewards_to_go(batch.rewards, batch.episode_lengths, 1.0)
    config = LearnerConfig(value_memory=True, value_learning_rate=0.03, micro_batch_steps=7)
    baseline = ValueBaseline(config, replace(ARCHITECTURE, hidden_sizes=(4,)), 0)
    for _ in range(20):
        baseline.fit(batch, targets)
    return baseline, batch


def check_the_bias_of_values_that_remember():
    """They know what led to a step, but not its action: sum of P grad log pi V is 0."""
    baseline, batch = remembering_values()
    probabilities = np.exp([path.log_probability(THETA) for path in all_paths()])
    states, actions = batch.observations.argmax(axis=1), batch.actions
    policy = np.exp(THETA) / np.exp(THETA).sum(axis=1, keepdims=True)
    scores = np.eye(2)[actions] - policy[states]
    weights = np.repeat(probabilities, batch.episode_lengths) * baseline.values(batch)

    found = np.zeros((2, 2))
    np.add.at(found, states, weights[:, None] * scores)

    assert len(set(baseline.values(batch)[states == 0].round(5))) > 2  # they do remember
    np.testing.assert_allclose(found, 0, atol=1e-6)


def check_capped_weights_with_a_baseline():
    """gamma = 1/2, ratios 2, 2 | 1, 4, cap 3; what the baseline foresaw has no weight.

    Returns 4 + 2/2 = 5 | 8 + 4/2 = 10; the baseline is that of the other episode, at each step. The
    weights are 2, 3 | 1, 3.
    """
    ended = [True, True]
    batch = batch_of([0] * 4, [4, 2, 8, 4], [2, 2], [0, 0], terminated=ended, truncated=ended)
    settings = {"baseline": "leave_one_out", "advantage_scale": "none", "importance_cap": 3.0}
    estimator = Estimator(LearnerConfig(discount=0.5, **settings), ARCHITECTURE, seed=0)

    found = estimator.estimate(batch, np.log([2.0, 2.0, 1.0, 4.0]))

    # deltas: 4 + 10/2 - 10 = -1, 2 - 10 = -8 | 8 + 5/2 - 5 = 5.5, 4 - 5 = -1; A = w delta + A'/2
    np.testing.assert_allclose(found.advantages, [2 * -1 - 24 / 2, 3 * -8, 5.5 - 3 / 2, 3 * -1])


def check_discounted_steps():
    """gamma = 1/2: the returns 1 + 2/2, 2 and 4 + 8/2, 8, times 1 and 1/2 in *each* episode."""
    options = {"baseline": "none", "discount": 0.5, "discount_state_weight": True}
    ended = [True, True]
    batch = batch_of([0] * 4, [1, 2, 4, 8], [2, 2], [0, 0], terminated=ended, truncated=ended)

    found = Estimator(
        LearnerConfig(advantage_scale="none", **options), ARCHITECTURE, seed=0
    ).estimate(batch, np.zeros(4))

    np.testing.assert_array_equal(found.advantages, [2, 1, 8, 4])


def check_normalised_and_capped_weights():
    """Ratios 2, 2 | 4, cap 5/4: what is left after the division by the mean is cut, not before."""
    log_ratios, lengths = np.log([2.0, 2.0, 4.0]), np.array([2, 1])
    options = {"self_normalize": True, "cap": 1.25}

    whole = importance.importance_weights("per_decision", log_ratios, lengths, **options)
    single = importance.importance_weights("per_step", log_ratios, lengths, **options)

    # products 2, 4 | 4, over the means (2 + 4)/2 and, the ended one included, (4 + 4)/2
    np.testing.assert_allclose(whole.prefix, [2 / 3, 1.0, 1.25])
    # ratios 2, 2 | 4, over the means (2 + 4)/2 and 2
    np.testing.assert_allclose(single.step, [2 / 3, 1.0, 1.25])


def check_components_are_independent():
    """Two equal and three equal choices: uniforms of .75 and .25 pick another in each component."""
    sampler = make_distribution(action_layout(MultiDiscrete([2, 3])))

    found = sampler.sample(np.zeros((2, 5), np.float32), np.array([[0.75, 0.25], [0.25, 0.75]]))

    np.testing.assert_array_equal(found, [[1, 0], [0, 2]])


def check_entropy_schedule():
    """From 1 to 0 in 4 updates; probabilities 1/4 and 3/4, whose entropy is log 4 - 3/4 log 3.

    ``dH / d logit = -pi (log pi + H)`` is 3/16 log 3, and minus that for the other action.
    """
    settings = LearnerConfig(
        baseline="none", advantage_scale="none", entropy_coefficient=(1.0, 0.0), schedule_updates=4
    )
    learner = Learner(settings, ARCHITECTURE, seed=0)
    arrays = learner.state().arrays
    weights = np.array([0, 0, 0, 0, 0, math.log(3)], np.float32)  # all in the bias
    slope = 3 / 16 * math.log(3)

    for version, coefficient in [(0, 1.0), (1, 0.75), (3, 0.25), (4, 0.0), (5, 0.0)]:
        learner.load_state(LearnerState(version, {**arrays, "weights": weights}))
        batch = batch_of([0], [0.0], [1], [0], terminated=[True], truncated=[False])
        found = learner.gradient([batch])[-2:]
        np.testing.assert_allclose(found, [coefficient * slope, -coefficient * slope], atol=1e-6)


def check_kl_limit():
    """The mean over three states, two alike, is .1083 nats from the old policy to the new.

    Both choices are equally likely. The update moves the difference of the logits by log 3 where
    the two first episodes were paid, and by half of it, in the bias, in the state of the third.
    Of a difference d, ``KL(old || new) = -1/2 log(4 p (1 - p)) = log cosh(d / 2)``.
    """
    ended = [True] * 3
    batch = batch_of([0, 0, 1], [1.5, 1.5, 0.0], [1] * 3, [0] * 3, ended, [False] * 3)
    settings = LearnerConfig(
        baseline="none",
        advantage_scale="none",
        optimizer="sgd",
        learning_rate=math.log(3) / 2,
        micro_batch_steps=2,
        max_kl=0.105,
    )
    learner = Learner(settings, ARCHITECTURE, seed=0)
    arrays = {**learner.state().arrays, "weights": np.zeros(6, np.float32)}
    learner.load_state(LearnerState(0, arrays))

    report, weights = learner.update([batch])

    def divergence(fraction):
        logs = [math.log(math.cosh(fraction * math.log(3) / n)) for n in (2, 2, 4)]
        return sum(logs) / 3

    fraction = math.sqrt(0.9 * 0.105 / divergence(1.0))
    moved = fraction * math.log(3) / 4 * np.array([1, 0, -1, 0, 1, -1])
    np.testing.assert_allclose(weights.values, moved, atol=1e-6)
    np.testing.assert_allclose(report.metrics["step_fraction"], fraction, rtol=1e-5)
    np.testing.assert_allclose(report.metrics["kl"], divergence(fraction), rtol=1e-5)


def check_squashed_entropy_gradient():
    """``H = log std + E[log(1 - tanh(u)^2)]`` and constants, with ``u = mean + std e``, e normal.

    So ``dH / d mean = E[-2 tanh u]`` and ``dH / d log std = 1 + E[-2 tanh(u) std e]``, here as sums
    over a fine grid. The third component has no bounds, so no tanh: 0 and 1.
    """
    means, stds = np.array([0.5, -1.0, 2.0]), np.array([0.5, 1.0, 1.0])
    e = np.linspace(-10, 10, 100_001)
    density = np.exp(-(e**2) / 2) / math.sqrt(2 * math.pi)
    slopes = -2 * np.tanh(means[:2, None] + stds[:2, None] * e)
    by_mean = np.trapezoid(density * slopes, e)
    by_log_std = 1 + np.trapezoid(density * slopes * stds[:2, None] * e, e)
    high = np.array([1.0, 3.0, np.inf], np.float32)
    layout = action_layout(Box(-high, high))
    parameters = torch.tensor(np.array([[*means, *np.log(stds)]]), dtype=torch.float32)
    parameters.requires_grad_()

    make_torch_distribution(layout, parameters).entropy().sum().backward()

    expected = [*by_mean, 0.0, *by_log_std, 1.0]
    np.testing.assert_allclose(parameters.grad[0], expected, atol=1e-3)
