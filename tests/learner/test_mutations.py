"""Known-wrong variants of the estimator and of the sampler: each must fail its check.

A mutant replaces one function of production by a mistake that people really make; the check named
beside it passes without the mutant and has to fail with it.
"""

from dataclasses import replace

import gradient_checks
import numpy as np
import pytest

from reinforce.learner.advantages import estimator, importance
from reinforce.learner.advantages.estimator import Estimator
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.advantages.scaling import standardized_per_episode
from reinforce.learner.loss import surrogate_loss
from reinforce.learner.policies.trajectories import step_indices
from reinforce.workers.trajectory_builder import TrajectoryBuilder

ESTIMATOR = "reinforce.learner.advantages.estimator"
GRADIENT = "reinforce.learner.gradient"
BUILDER = "reinforce.workers.trajectory_builder"


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
