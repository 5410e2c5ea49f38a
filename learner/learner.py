"""The central learner: recomputes log-probabilities and makes a new version of the weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from reinforce.configs.learning import LearnerConfig, Scheduled
from reinforce.learner.advantages.estimator import Estimate, Estimator
from reinforce.learner.advantages.returns import with_entropy
from reinforce.learner.device import MAX_DRIFT, prepare_device
from reinforce.learner.gradient import PolicyPasses, Share
from reinforce.learner.loss import kl_divergence
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.optimizer import Optimizer, clip_gradient, scheduled_value
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.normalizer import ObservationStatistics
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.trajectories import Trajectories, concatenate
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState, Stateful, UpdateReport, arrays_of, load_arrays_of
from reinforce.learner.step_limit import step_within


class PolicyMismatchError(FloatingPointError):
    """The policy being differentiated is not the one that acted."""


class Learner:
    """The owner of the policy. Touches no files.

    Each operation of Torch or BLAS uses one thread: small ones gain nothing from more, and
    bit-identical weights need sums in a fixed order. Several run in parallel where their order does
    not matter (``PolicyPasses``), in other processes too, if it is given a ``share``. On a GPU it
    holds the networks, the optimizers' state and one micro-batch at a time.
    """

    def __init__(
        self,
        config: LearnerConfig,
        architecture: PolicyArchitecture,
        seed: int,
        share: Share | None = None,
    ) -> None:
        self._config = config
        self._architecture = architecture
        prepare_device(config.device)
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.POLICY_WEIGHTS))
        self._network = PolicyNetwork(architecture, generator, config.device)
        self._parameters = list(self._network.parameters())
        self._passes = PolicyPasses(config, architecture, self._network, share=share)
        self._statistics = (
            ObservationStatistics(architecture.observation.is_continuous)
            if architecture.normalize_observations
            else None
        )
        self._optimizer = Optimizer(config.optimizer, self._parameters)
        self._estimator = Estimator(config, architecture, seed)
        self._parts: dict[str, Stateful | None] = {
            "optimizer": self._optimizer,
            "estimator": self._estimator,
            "statistics": self._statistics,
        }
        self._to_fit: tuple[Trajectories, NDArray[np.float64]] | None = None
        """The last batch and the baseline's targets, until they are fitted."""
        self._fit_error: Exception | None = None
        self.version = 0

    def weights(self) -> Weights:
        """Return a copy of the current weights."""
        return Weights(self.version, self._network.flat_weights())

    def update(self, parts: Sequence[Trajectories]) -> tuple[UpdateReport, Weights]:
        """Apply one REINFORCE gradient; return a report and the new weights.

        Fitting a baseline to the batch does not affect these weights, so it waits until the next
        update or a request for the state. Workers can begin meanwhile.

        Args:
            parts: The trajectories of all tickets of the batch, in ticket order. Every episode
                counts exactly once.

        Raises:
            FloatingPointError: The gradient is not finite, or (PolicyMismatchError) not that of the
                policy that acted. Nothing was applied.
        """
        self._fit_if_due()
        batch = concatenate(parts)
        estimate, metrics = self._gradient(batch)
        if metrics["staleness_max"] == 0:
            self._check_drift(metrics["log_prob_drift_max"])
        states = self._passes.compared_states(batch)
        before = self._passes.distributions(batch, states)

        def kl_of_now() -> float:
            return kl_divergence(before, self._passes.distributions(batch, states))

        metrics |= self._step(kl_of_now)
        self._update_statistics(batch)
        # After the statistics, so that the value function is fitted to what it will be shown.
        if estimate.targets is not None:
            self._to_fit = batch, estimate.targets
        metrics["kl"] = kl_of_now()
        self.version += 1
        weights, is_fit_due = self.weights(), self._to_fit is not None
        return UpdateReport(self.version, metrics, weights.sha256, is_fit_due), weights

    def gradient(self, parts: Sequence[Trajectories]) -> NDArray[np.float64]:
        """Return [P] the estimated gradient of the objective (uphill), without applying it.

        The first part of an update; the running scale counts the batch, as in an update.
        """
        self._fit_if_due()
        self._gradient(concatenate(parts))
        return -self._flat_gradient()

    def state(self) -> LearnerState:
        """Return a copy of everything that the next update depends on."""
        self._fit_if_due()
        return LearnerState(
            self.version,
            {"weights": self._network.flat_weights(), **arrays_of(**self._parts)},
        )

    def load_state(self, state: LearnerState) -> None:
        """Continue from a state that ``state`` returned."""
        self._to_fit = self._fit_error = None
        self._network.load_flat_weights(state.arrays["weights"])
        policy = {"statistics": self._statistics}
        load_arrays_of(state.arrays, **(policy if state.is_warm_start else self._parts))
        self.version = state.version

    def _fit_if_due(self) -> None:
        """Fit the baseline if it is due. After a failure, only another state can be continued."""
        if self._fit_error:
            raise self._fit_error
        if self._to_fit:
            try:
                self._estimator.fit(*self._to_fit)
            except Exception as error:
                self._fit_error = error
                raise
            self._to_fit = None

    def _gradient(self, batch: Trajectories) -> tuple[Estimate, dict[str, float]]:
        """Store the gradient of the loss in the parameters; return the estimate and metrics."""
        staleness = self.version - batch.policy_version
        log_ratios = self._log_ratios(batch, staleness)
        estimate = self._estimator.estimate(self._with_entropy(batch, log_ratios), log_ratios)
        metrics = {"staleness_max": float(staleness), **estimate.metrics}
        coefficient = self._now(self._config.entropy_coefficient)
        metrics |= self._passes.differentiate(batch, estimate.advantages, coefficient)
        return estimate, metrics

    def _log_ratios(self, batch: Trajectories, staleness: int) -> NDArray[np.float64]:
        """Return [B] log pi - log mu: exactly 0 where the current policy acted.

        Always in float32, as the worker computed log mu: products of a whole episode's ratios would
        amplify the rounding of bfloat16. Nothing is differentiated here.
        """
        if staleness == 0:
            return np.zeros(batch.num_steps)
        return self._passes.log_probs(batch) - batch.behavior_log_probs

    def _with_entropy(self, batch: Trajectories, log_ratios: NDArray[np.float64]) -> Trajectories:
        """Return the batch with ``entropy_reward`` added to its rewards."""
        entropy_reward = self._now(self._config.entropy_reward)
        if entropy_reward == 0:
            return batch
        log_probs = batch.behavior_log_probs + log_ratios
        if not log_ratios.any():  # those of the worker are never relied on where pi acted
            log_probs = self._passes.log_probs(batch)
        return replace(batch, rewards=with_entropy(batch.rewards, log_probs, entropy_reward))

    def _now(self, setting: Scheduled) -> float:
        """Return the current value of a setting that may follow a schedule."""
        return scheduled_value(setting, self.version, self._config.schedule_updates)

    def _update_statistics(self, batch: Trajectories) -> None:
        """Count the observations of the batch, for the next version of the weights."""
        if self._statistics:
            self._statistics.update(self._architecture.observation.vector(batch.observations))
            frozen = self._statistics.frozen()
            self._network.load_statistics(frozen)
            self._estimator.load_statistics(frozen)

    def _flat_gradient(self) -> NDArray[np.float64]:
        gradients = [p.grad.flatten() for p in self._parameters if p.grad is not None]
        return torch.cat(gradients).cpu().numpy().astype(np.float64)

    def _step(self, kl_of_now: Callable[[], float]) -> dict[str, float]:
        """Move the parameters, as far as the limit on ``kl_of_now`` allows."""
        limit, max_kl = self._config.max_gradient_norm, self._config.max_kl
        try:
            norm = clip_gradient(self._parameters, limit)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"the gradient of update {self.version} has {error}; lower learner.learning_rate, "
                "check rewards and observations for very large values, or, with cluster.lookahead "
                "1, choose a learner.importance_cap"
            ) from None
        rate = self._now(self._config.learning_rate)
        move = partial(self._optimizer.step, rate)
        metrics = {
            "gradient_norm": norm,
            "clipped_fraction": float(limit is not None and norm > limit),
            "learning_rate": rate,
        }
        if max_kl is None:
            move()
            return metrics
        return {**metrics, "step_fraction": step_within(max_kl, self._parameters, move, kl_of_now)}

    def _check_drift(self, drift: float) -> None:
        """Raise PolicyMismatchError if the same weights gave other log-probabilities here."""
        precision = self._config.precision
        if drift <= MAX_DRIFT[precision]:
            return
        raise PolicyMismatchError(
            f"in update {self.version} a log-probability that the learner recomputed is "
            f"{drift:.2g} off the worker's, with the same weights (limit {MAX_DRIFT[precision]} "
            f"for learner.precision {precision}): they do not compute the same function. Check "
            "your policy's class for state that is neither a parameter nor a float32 buffer, for "
            f"randomness, and for numbers so large that {precision} loses them; with policy.kind "
            "mlp, for observations that are too large (policy.normalize_observations)"
        )
