"""Known-wrong variants of the estimator and of the sampler: each must fail its check.

A mutant replaces one function of production by a mistake that people really make; the check named
beside it passes without the mutant and has to fail with it. A mistake in the middle of a function
is an edit of its source.
"""

import inspect
from dataclasses import replace
from textwrap import dedent

import gradient_checks
import hand_checks
import numpy as np
import pytest

from reinforce.learner.advantages import estimator, importance
from reinforce.learner.advantages.estimator import Estimator
from reinforce.learner.advantages.returns import rewards_to_go, with_entropy
from reinforce.learner.advantages.scaling import standardized_per_episode
from reinforce.learner.advantages.time_input import TimeInput
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.gradient import PolicyPasses
from reinforce.learner.learner import Learner
from reinforce.learner.loss import kl_divergence, surrogate_loss
from reinforce.learner.micro_batches import MicroBatch
from reinforce.learner.networks import torch_distributions
from reinforce.learner.policies.spaces import components_of
from reinforce.learner.policies.trajectories import step_indices
from reinforce.learner.step_limit import shorter, step_within
from reinforce.workers.trajectory_builder import TrajectoryBuilder

ESTIMATOR = "reinforce.learner.advantages.estimator"
IMPORTANCE = "reinforce.learner.advantages.importance"
VALUES = "reinforce.learner.advantages.value_baseline"
TIME_INPUT = "reinforce.learner.advantages.time_input"
GRADIENT = "reinforce.learner.gradient"
BUILDER = "reinforce.workers.trajectory_builder"
LEARNER = "reinforce.learner.learner"
POLICIES = "reinforce.learner.policies.distributions"
NETWORKS = "reinforce.learner.networks.torch_distributions"
STEP_LIMIT = "reinforce.learner.step_limit"


def self_including_baseline(returns, episode_lengths, reach=None):
    steps = step_indices(episode_lengths)
    return (np.bincount(steps, weights=returns) / np.bincount(steps))[steps]


def without_own_reward(rewards, episode_lengths, discount):
    return rewards_to_go(rewards, episode_lengths, discount) - rewards


def discounted_from_the_start(rewards, episode_lengths, discount):
    powers = discount ** step_indices(episode_lengths)
    return rewards_to_go(powers * rewards, episode_lengths, 1.0)


def divided_by_length(kind, advantages, episode_lengths, running):
    return advantages / np.repeat(episode_lengths, episode_lengths)


def standardized_where_nothing_is_claimed(kind, advantages, episode_lengths, running):
    return standardized_per_episode(advantages, episode_lengths)


def downhill(logits, actions, advantages, num_episodes, entropy_coefficient):
    return surrogate_loss(logits, actions, -advantages, num_episodes, entropy_coefficient)


def per_step_normaliser(logits, actions, advantages, num_episodes, entropy_coefficient):
    return surrogate_loss(logits, actions, advantages, len(actions), entropy_coefficient)


def with_sampled_entropy(policy, actions, advantages, num_episodes, entropy_coefficient):
    result = surrogate_loss(policy, actions, advantages, num_episodes, 0.0)
    sampled = -policy.log_prob(actions).sum()
    return replace(result, loss=result.loss - entropy_coefficient * sampled / num_episodes)


def no_correction(kind, log_ratios, episode_lengths, **options):
    ones = np.ones_like(log_ratios)
    return importance.ImportanceWeights(ones, ones, ones)


def only_the_current_step(kind, log_ratios, episode_lengths, **options):
    return importance.importance_weights("per_step", log_ratios, episode_lengths)


def first_weight_forgotten(kind, log_ratios, episode_lengths, **options):
    right = importance.importance_weights(kind, log_ratios, episode_lengths)
    return replace(right, prefix=np.where(step_indices(episode_lengths) == 0, 1.0, right.prefix))


def episodes_in_one_piece(lengths, episodes, max_steps, *, whole_episodes):
    yield MicroBatch(slice(None), np.array([lengths.sum()]))


def next_value_of_the_batch(values, episode_lengths, *, after_last):
    return np.append(values[1:], after_last[-1])


def steps_of_the_batch(episode_lengths):
    return np.arange(episode_lengths.sum())


def sharing_one_uniform(layout):
    return [replace(part, uniforms=0) for part in components_of(layout)]


def with_entropy_as_a_cost(rewards, log_probs, entropy_reward):
    return with_entropy(rewards, log_probs, -entropy_reward)


def reversed_divergence(self, before, original=torch_distributions.Categorical.kl_from):
    return original(before, self)


def mean_of_means(before, after):
    return np.mean([kl_divergence([old], [new]) for old, new in zip(before, after, strict=True)])


def slope_without_gradient(values, original=torch_distributions._log_tanh_slope):
    return original(values.detach())


def edited(function, old, new):
    """Return a function with one piece of its source replaced."""
    source = dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} does not hold {old!r} once"
    made = {}
    exec(source.replace(old, new), function.__globals__, made)
    return made[function.__name__]


def fitted_before_use(original):
    def estimate(self, batch, log_ratios):
        self.fit(batch, rewards_to_go(batch.rewards, batch.episode_lengths, 1.0))
        return original(self, batch, log_ratios)

    return estimate


def keeping(original, choose):
    """A recorder that keeps only some of the episodes that were played."""

    def trajectories(self, policy_version):
        whole = original(self, policy_version)
        kept = choose(whole.episode_lengths)
        rows = np.repeat(kept, whole.episode_lengths)
        return replace(
            whole,
            **{name: getattr(whole, name)[rows] for name in
               ("observations", "actions", "rewards", "behavior_log_probs")},
            **{name: getattr(whole, name)[kept] for name in
               ("episode_lengths", "terminated", "truncated", "final_observations")},
        )  # fmt: skip

    return trajectories


def first_half_to_finish(lengths):
    """All started together: the shortest finish first."""
    kept = np.zeros(len(lengths), np.bool_)
    kept[np.argsort(lengths, kind="stable")[: len(lengths) // 2]] = True
    return kept


def finished_in_the_window(lengths):
    """A lane plays one episode after the other for four steps; the one that is cut is dropped."""
    kept, used = np.zeros(len(lengths), np.bool_), 0
    for index, length in enumerate(lengths):
        used += length
        if used > 4:
            used = 0
        else:
            kept[index] = True
    return kept


EXACT = gradient_checks.check_exactly
ESTIMATE = ESTIMATOR + ".Estimator.estimate"
AFTER_LAST = ESTIMATOR + ".Estimator._values_after_last"
CREDITED = ESTIMATOR + ".Estimator._credited_rewards"
MUTANTS = {
    "sign": (GRADIENT + ".surrogate_loss", downhill, lambda: EXACT("reward_to_go")),
    "reward off by one": (
        ESTIMATOR + ".rewards_to_go", without_own_reward, lambda: EXACT("reward_to_go"),
    ),
    "gamma misplaced": (
        ESTIMATOR + ".rewards_to_go",
        discounted_from_the_start,
        lambda: EXACT("discount .9 with gamma^t"),
    ),
    "1 / length": (
        ESTIMATOR + ".scaled_advantages", divided_by_length, lambda: EXACT("reward_to_go"),
    ),
    "1 / steps of the batch": (
        GRADIENT + ".surrogate_loss", per_step_normaliser, lambda: EXACT("reward_to_go"),
    ),
    "standardised per episode": (
        ESTIMATOR + ".scaled_advantages",
        standardized_where_nothing_is_claimed,
        lambda: EXACT("reward_to_go"),
    ),
    "baseline includes itself": (
        ESTIMATOR + ".time_leave_one_out", self_including_baseline, lambda: EXACT("time"),
    ),
    "no importance correction": (
        ESTIMATOR + ".importance_weights", no_correction, lambda: EXACT("near: per_decision"),
    ),
    "per_step in place of per_decision": (
        ESTIMATOR + ".importance_weights",
        only_the_current_step,
        lambda: EXACT("near: per_decision"),
    ),
    "first weight forgotten": (
        ESTIMATOR + ".importance_weights",
        first_weight_forgotten,
        lambda: EXACT("near: per_decision, value"),
    ),
    "sampled entropy": (
        GRADIENT + ".surrogate_loss",
        with_sampled_entropy,
        gradient_checks.check_entropy_gradient,
    ),
    "value fitted before it is used": (
        ESTIMATOR + ".Estimator.estimate",
        fitted_before_use(Estimator.estimate),
        lambda: EXACT("value"),
    ),
    "linear fitted before it is used": (
        ESTIMATOR + ".Estimator.estimate",
        fitted_before_use(Estimator.estimate),
        lambda: EXACT("linear"),
    ),
    "first half to finish": (
        BUILDER + ".TrajectoryBuilder.trajectories",
        keeping(TrajectoryBuilder.trajectories, first_half_to_finish),
        gradient_checks.check_by_sampling,
    ),
    "unfinished dropped": (
        BUILDER + ".TrajectoryBuilder.trajectories",
        keeping(TrajectoryBuilder.trajectories, finished_in_the_window),
        gradient_checks.check_by_sampling,
    ),
    "bootstrap target without gamma": (
        ESTIMATOR + ".Estimator._baseline_and_targets",
        edited(Estimator._baseline_and_targets, "config.discount * after_last", "after_last"),
        hand_checks.check_bootstrapped_advantages,
    ),
    "gamma twice on the bootstrapped value": (
        AFTER_LAST,
        edited(Estimator._values_after_last, "(cut, ", "(cut, self._config.discount * "),
        hand_checks.check_bootstrapped_advantages,
    ),
    "advantages without gamma": (
        ESTIMATE,
        edited(Estimator.estimate, "config.discount * config.gae_lambda", "config.gae_lambda"),
        hand_checks.check_bootstrapped_advantages,
    ),
    "bootstrap although terminated": (
        AFTER_LAST,
        edited(Estimator._values_after_last, " & ~batch.terminated", ""),
        hand_checks.check_bootstrapped_advantages,
    ),
    "next episode's value after a terminal state": (
        ESTIMATOR + ".next_values",
        next_value_of_the_batch,
        hand_checks.check_bootstrapped_advantages,
    ),
    "time of the batch": (
        VALUES + ".step_indices", steps_of_the_batch, hand_checks.check_values_that_see_time,
    ),
    "time in steps": (
        TIME_INPUT + ".TimeInput.rows",
        edited(TimeInput.rows, "steps / self._horizon_steps", "steps"),
        hand_checks.check_values_that_see_time,
    ),
    "fitted to the time of the batch": (
        VALUES + ".step_indices",
        steps_of_the_batch,
        hand_checks.check_the_fit_of_values_that_see_time,
    ),
    "a memory that forgets": (
        VALUES + ".ValueBaseline.__init__",
        edited(ValueBaseline.__init__, 'kind = "gru"', 'kind = "mlp"'),
        hand_checks.check_the_fit_of_values_that_remember,
    ),
    "a memory across episodes": (
        VALUES + ".micro_batches",
        episodes_in_one_piece,
        hand_checks.check_the_bias_of_values_that_remember,
    ),
    "a memory of the next step": (
        VALUES + ".ValueBaseline._outputs",
        edited(ValueBaseline._outputs, "else observations", "else np.roll(observations, -1, 0)"),
        hand_checks.check_the_bias_of_values_that_remember,
    ),
    "later baselines left out": (
        CREDITED,
        edited(Estimator._credited_rewards, " + weight * next_baseline", ""),
        hand_checks.check_capped_weights_with_a_baseline,
    ),
    "next baseline with the next weight": (
        CREDITED,
        edited(Estimator._credited_rewards, "(prefix - config", "(next_prefix - config"),
        hand_checks.check_capped_weights_with_a_baseline,
    ),
    "later baselines at the wrong step": (
        CREDITED,
        edited(Estimator._credited_rewards, "weight * next_baseline", "weight * baseline"),
        hand_checks.check_capped_weights_with_a_baseline,
    ),
    "cap before self-normalisation": (
        IMPORTANCE + ".importance_weights",
        edited(
            importance.importance_weights,
            "prefix /= _mean_prefix(prefix, ",
            "prefix = np.minimum(prefix, cap)\n        prefix /= _mean_prefix(prefix, ",
        ),
        hand_checks.check_normalised_and_capped_weights,
    ),
    "gamma^t over the steps of the batch": (
        ESTIMATOR + ".step_indices", steps_of_the_batch, hand_checks.check_discounted_steps,
    ),
    "components share one uniform": (
        POLICIES + ".components_of",
        sharing_one_uniform,
        hand_checks.check_components_are_independent,
    ),
    "entropy schedule one update early": (
        LEARNER + ".Learner._now",
        edited(Learner._now, "self.version, self._config", "self.version + 1, self._config"),
        hand_checks.check_entropy_schedule,
    ),
    "entropy is a cost": (
        LEARNER + ".with_entropy",
        with_entropy_as_a_cost,
        lambda: EXACT("entropy_reward for J with entropy"),
    ),
    "entropy of the policy that acted": (
        LEARNER + ".Learner._with_entropy",
        edited(Learner._with_entropy, "log_probs + log_ratios", "log_probs"),
        lambda: EXACT("near: entropy_reward for J with entropy"),
    ),
    "divergence of the old policy from the new": (
        NETWORKS + ".Categorical.kl_from",
        reversed_divergence,
        hand_checks.check_kl_limit,
    ),
    "mean of the parts' mean divergences": (
        LEARNER + ".kl_divergence",
        mean_of_means,
        hand_checks.check_kl_limit,
    ),
    "divergence in some states": (
        GRADIENT + ".PolicyPasses.compared_states",
        edited(PolicyPasses.compared_states, "batch.num_episodes)))", "2)))"),
        hand_checks.check_kl_limit,
    ),
    "fraction counted from the end": (
        LEARNER + ".step_within",
        edited(inspect.unwrap(step_within), "lerp(start, end,", "lerp(end, start,"),
        hand_checks.check_kl_limit,
    ),
    "divergence grows with the step": (
        STEP_LIMIT + ".shorter",
        edited(shorter, "sqrt(_AIM * limit / kl)", "_AIM * limit / kl"),
        hand_checks.check_kl_limit,
    ),
    "entropy without the slope of tanh": (
        NETWORKS + "._log_tanh_slope",
        slope_without_gradient,
        hand_checks.check_squashed_entropy_gradient,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_passes_without_its_mutant(name):
    MUTANTS[name][2]()


@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_survives(name, monkeypatch):
    target, mutant, check = MUTANTS[name]
    monkeypatch.setattr(target, mutant)

    with pytest.raises(AssertionError):
        check()


def test_ignored_truncation_is_noticed(monkeypatch):
    """Bootstrapping everything or nothing gives other values than the documented ones."""
    gradient_checks.check_bootstrap_values()
    next_values = estimator.next_values

    def nothing(values, episode_lengths, *, after_last):
        return next_values(values, episode_lengths, after_last=0 * after_last)

    monkeypatch.setattr(ESTIMATOR + ".next_values", nothing)
    with pytest.raises(AssertionError):
        gradient_checks.check_bootstrap_values()
