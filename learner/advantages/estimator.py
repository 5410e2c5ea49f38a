"""The estimator: from a batch of episodes to the advantage of every step.

With ``w`` the importance weights (all 1 for data of the current policy):

    A[t] = step[t] * (sum_{k >= t} discount^(k-t) prefix[k] rewards[k]  -  prefix[t] b[t])

and the gradient is ``(1/E) sum_b grad log pi(a_b|s_b) A_b``. ``docs/derivation.md`` derives it;
what an option costs in bias stands with the function that computes it.
"""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.baselines import LinearBaseline, leave_one_out, time_leave_one_out
from reinforce.learner.advantages.importance import (
    ImportanceWeights,
    effective_sample_size,
    importance_weights,
)
from reinforce.learner.advantages.returns import next_values, rewards_to_go, total_returns
from reinforce.learner.advantages.scaling import RunningScale, scaled_advantages, without_rounding
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories, step_indices
from reinforce.learner.state import arrays_of, load_arrays_of


@dataclass(frozen=True)
class Estimate:
    """The advantages of a batch and what is known of them.

    Attributes:
        advantages: [B] on the scale that the gradient uses.
        targets: [B] what a fitted baseline should have said: unweighted rewards-to-go. None if no
            baseline is fitted.
        metrics: Values of the metrics section ``learner/`` by name.
    """

    advantages: NDArray[np.float64]
    targets: NDArray[np.float64] | None
    metrics: dict[str, float]


class Estimator:
    """Options and state of the estimator; the state is what it learned from earlier batches."""

    def __init__(self, config: LearnerConfig, policy: PolicyArchitecture, seed: int) -> None:
        self._config = config
        self._running_scale = RunningScale()
        self._linear = LinearBaseline() if config.baseline == "linear" else None
        self._value = ValueBaseline(config, policy, seed) if config.baseline == "value" else None

    def estimate(self, batch: Trajectories, log_ratios: NDArray[np.float64]) -> Estimate:
        """Return the advantages of a batch. Nothing is fitted to it yet.

        Args:
            batch: Whole episodes.
            log_ratios: [B] log pi(a|s) - log mu(a|s): 0 for data of the current policy.
        """
        config, lengths = self._config, batch.episode_lengths
        weights = importance_weights(
            config.importance_correction,
            log_ratios,
            lengths,
            cap=config.importance_cap,
            self_normalize=config.importance_self_normalize,
        )
        returns_of = rewards_to_go if config.return_kind == "reward_to_go" else total_returns
        returns = returns_of(weights.prefix * batch.rewards, lengths, config.discount)
        targets: NDArray[np.float64] | None
        if self._value:
            raw, baseline, targets = self._with_value_function(batch, weights, self._value)
        else:
            raw, baseline, targets = self._with_batch_or_linear_baseline(batch, weights, returns)
        raw = without_rounding(raw, returns, lengths)
        advantages = weights.step * raw
        if config.discount_state_weight:
            advantages *= config.discount ** step_indices(lengths)
        scaled = scaled_advantages(config.advantage_scale, advantages, lengths, self._running_scale)
        self._running_scale = self._running_scale.updated(advantages)
        return Estimate(
            scaled,
            targets,
            {
                "advantage_std": float(advantages.std()),
                "baseline_variance_removed": _share_removed(raw, returns),
                "effective_sample_size": effective_sample_size(log_ratios, lengths),
                **self._explained_variance(targets, baseline),
            },
        )

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Fit what is to be used on the *next* batch."""
        if self._linear:
            self._linear.fit(batch, targets)
        if self._value:
            self._value.fit(batch, targets)

    def load_statistics(self, statistics: NDArray[np.float32]) -> None:
        """Let what is fitted see observations normalised with these statistics from now on."""
        if self._value:
            self._value.load_statistics(statistics)

    def arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {"running_scale": np.array(astuple(self._running_scale))}
        if self._linear:
            arrays["linear"] = self._linear.coefficients.copy()
        return arrays | arrays_of(value=self._value)

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state; a baseline that it lacks, since it was changed, is a new one."""
        self._running_scale = RunningScale(*map(float, arrays["running_scale"]))
        if self._linear and "linear" in arrays:
            self._linear.coefficients = arrays["linear"]
        if any(name.startswith("value.") for name in arrays):
            load_arrays_of(arrays, value=self._value)

    def _with_batch_or_linear_baseline(
        self, batch: Trajectories, weights: ImportanceWeights, returns: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Return advantages before the step weight, the baseline, and targets, [B] each."""
        config, lengths = self._config, batch.episode_lengths
        baseline, targets = np.zeros_like(returns), None
        if config.baseline == "leave_one_out":
            baseline = leave_one_out(returns, lengths)
        elif config.baseline == "time":
            baseline = time_leave_one_out(returns, lengths, weights.reach)
        elif self._linear:
            baseline = self._linear.values(batch)
            targets = rewards_to_go(batch.rewards, lengths, config.discount)
        return returns - weights.prefix * baseline, baseline, targets

    def _with_value_function(
        self, batch: Trajectories, weights: ImportanceWeights, value: ValueBaseline
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return advantages before the step weight, the baseline, and targets, [B] each.

        ``A[t] = sum_{k >= t} (discount * lambda)^(k-t) prefix[k] delta[k]`` with
        ``delta[k] = rewards[k] + discount V(s[k+1]) - V(s[k])``. For lambda = 1 the sum telescopes,
        in expectation also under importance weights, to reward-to-go minus baseline.

        Source: Schulman et al. (2016), arXiv:1506.02438; Jiang & Li (2016), arXiv:1511.03722.
        """
        config, lengths = self._config, batch.episode_lengths
        baseline = value.values(batch.observations)
        after_last = np.zeros(batch.num_episodes)
        if config.truncation == "bootstrap":
            cut = batch.truncated & ~batch.terminated
            after_last = np.where(cut, value.values(batch.final_observations), 0.0)
        following = next_values(baseline, lengths, after_last=after_last)
        deltas = batch.rewards + config.discount * following - baseline
        advantages = rewards_to_go(
            weights.prefix * deltas, lengths, config.discount * config.gae_lambda
        )
        rewards = batch.rewards.copy()
        rewards[np.cumsum(lengths) - 1] += config.discount * after_last
        targets = rewards_to_go(rewards, lengths, config.discount)
        return advantages, baseline, targets

    def _explained_variance(
        self, targets: NDArray[np.float64] | None, baseline: NDArray[np.float64]
    ) -> dict[str, float]:
        """How much of the returns a fitted baseline foresaw: 1 all, 0 nothing, < 0 worse."""
        if targets is None:
            return {}
        variance = float(targets.var())
        left = float((targets - baseline).var())
        return {"explained_variance": 1.0 - left / variance if variance > 0 else 0.0}


def _share_removed(advantages: NDArray[np.float64], returns: NDArray[np.float64]) -> float:
    """Return the share of the returns' second moment that the baseline took away; at best 1."""
    before = float(np.mean(returns**2))
    return 1.0 - float(np.mean(advantages**2)) / before if before > 0 else 0.0
