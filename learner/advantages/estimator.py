"""The estimator: from a batch of episodes to the advantage of every step.

With ``prefix`` and ``step`` the importance weights (1 for data of the current policy), ``b`` the
baseline, and ``lambda`` 1 unless that is a value function:

    delta[k] = rewards[k] + discount b[k+1] - b[k]
    A[t] = step[t] * sum_{k >= t} (discount lambda)^(k-t) prefix[k] delta[k]

and the gradient is ``(1/E) sum_b grad log pi(a_b|s_b) A_b``. ``docs/derivation.md`` derives it;
each function documents the bias of its option.
"""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.baselines import LinearBaseline, leave_one_out, time_leave_one_out
from reinforce.learner.advantages.importance import effective_sample_size, importance_weights
from reinforce.learner.advantages.returns import next_values, rewards_to_go, total_returns
from reinforce.learner.advantages.scaling import RunningScale, scaled_advantages, without_rounding
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories, step_indices
from reinforce.learner.state import arrays_of, load_arrays_of


@dataclass(frozen=True)
class Estimate:
    """The advantages of a batch, and metrics about them.

    Attributes:
        advantages: [B] on the scale that the gradient uses.
        targets: [B] targets for a fitted baseline: unweighted rewards-to-go. None if no baseline is
            fitted.
        metrics: Values of the metrics section ``learner/`` by name.
    """

    advantages: NDArray[np.float64]
    targets: NDArray[np.float64] | None
    metrics: dict[str, float]


class Estimator:
    """The estimator's options, and what it learned from earlier batches."""

    def __init__(self, config: LearnerConfig, policy: PolicyArchitecture, seed: int) -> None:
        self._config = config
        self._returns_of = rewards_to_go if config.return_kind == "reward_to_go" else total_returns
        self._running_scale = RunningScale()
        self._linear = LinearBaseline() if config.baseline == "linear" else None
        self._value = ValueBaseline(config, policy, seed) if config.baseline == "value" else None

    def estimate(self, batch: Trajectories, log_ratios: NDArray[np.float64]) -> Estimate:
        """Return the advantages of a batch, without fitting anything to it.

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
        returns = self._returns_of(weights.prefix * batch.rewards, lengths, config.discount)
        after_last = self._values_after_last(batch)
        baseline, targets = self._baseline_and_targets(batch, returns, weights.reach, after_last)
        credited = self._credited_rewards(batch, weights.prefix, baseline, after_last)
        credit = self._returns_of(credited, lengths, config.discount * config.gae_lambda)
        raw = without_rounding(credit - weights.prefix * baseline, credit, lengths)
        advantages = weights.step * raw
        if config.discount_state_weight:
            advantages *= config.discount ** step_indices(lengths)
        scaled = scaled_advantages(config.advantage_scale, advantages, lengths, self._running_scale)
        self._running_scale = self._running_scale.updated(advantages)
        metrics = {
            "advantage_std": float(advantages.std()),
            "baseline_variance_removed": _share_removed(raw, returns),
            "effective_sample_size": effective_sample_size(log_ratios, lengths),
        }
        if targets is not None:
            metrics["explained_variance"] = _share_explained(targets, baseline)
        return Estimate(scaled, targets, metrics)

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Fit the baseline for the *next* batch."""
        if self._linear:
            self._linear.fit(batch, targets)
        if self._value:
            self._value.fit(batch, targets)

    def load_statistics(self, statistics: NDArray[np.float32]) -> None:
        """Normalise the fitted baseline's observations with these statistics from now on."""
        if self._value:
            self._value.load_statistics(statistics)

    def arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {"running_scale": np.array(astuple(self._running_scale))}
        if self._linear:
            arrays["linear"] = self._linear.coefficients.copy()
        return arrays | arrays_of(value=self._value)

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state; a baseline missing in it, because it was changed, starts fresh."""
        self._running_scale = RunningScale(*map(float, arrays["running_scale"]))
        if self._linear and "linear" in arrays:
            self._linear.coefficients = arrays["linear"]
        if any(name.startswith("value.") for name in arrays):
            load_arrays_of(arrays, value=self._value)

    def _baseline_and_targets(
        self,
        batch: Trajectories,
        returns: NDArray[np.float64],
        reach: NDArray[np.float64],
        after_last: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return [B] the baseline of each step, and the targets for a fitted one."""
        config, lengths = self._config, batch.episode_lengths
        fitted = None
        if self._value:
            fitted = self._value.values(batch)
        elif self._linear:
            fitted = self._linear.values(batch)
        if fitted is not None:
            rewards = batch.rewards.copy()
            rewards[np.cumsum(lengths) - 1] += config.discount * after_last
            return fitted, rewards_to_go(rewards, lengths, config.discount)
        if config.baseline == "leave_one_out":
            # Of what mu earned: weighted sums of few episodes would add more noise than they fit.
            unweighted = self._returns_of(batch.rewards, lengths, config.discount)
            return leave_one_out(unweighted, lengths), None
        if config.baseline == "time":
            return time_leave_one_out(returns, lengths, reach), None
        return np.zeros(batch.num_steps), None

    def _values_after_last(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [E] what each episode would still earn: 0 unless it was cut and bootstraps."""
        if not self._value or self._config.truncation == "as_termination":
            return np.zeros(batch.num_episodes)
        cut = batch.truncated & ~batch.terminated
        return np.where(cut, self._value.values_after_last(batch), 0.0)

    def _credited_rewards(
        self,
        batch: Trajectories,
        prefix: NDArray[np.float64],
        baseline: NDArray[np.float64],
        after_last: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return [B] the rewards whose (discounted) sum, minus ``prefix * b``, is the advantage.

        ``prefix[k] rewards[k] + discount (prefix[k] - lambda prefix[k+1]) b[k+1]`` has the same sum
        as ``prefix[k] delta[k]``, except for the baseline at the first step. In this form the later
        baselines cancel to the last bit if all weights are 1.

        Source: Schulman et al. (2016), arXiv:1506.02438; Jiang & Li (2016), arXiv:1511.03722.
        """
        config, lengths = self._config, batch.episode_lengths
        next_prefix = next_values(prefix, lengths, after_last=np.zeros(len(lengths)))
        next_baseline = next_values(baseline, lengths, after_last=after_last)
        weight = config.discount * (prefix - config.gae_lambda * next_prefix)
        return prefix * batch.rewards + weight * next_baseline


def _share_explained(targets: NDArray[np.float64], baseline: NDArray[np.float64]) -> float:
    """Return the explained variance of a fitted baseline: 1 all, 0 nothing, < 0 worse."""
    variance = float(targets.var())
    left = float((targets - baseline).var())
    return 1.0 - left / variance if variance > 0 else 0.0


def _share_removed(advantages: NDArray[np.float64], returns: NDArray[np.float64]) -> float:
    """Return the share of the returns' second moment that the baseline removed, from [B] arrays.

    At most 1; below 0 if the baseline increased it.
    """
    before = float(np.mean(returns**2))
    return 1.0 - float(np.mean(advantages**2)) / before if before > 0 else 0.0
