"""The central learner: recomputes log-probabilities, applies the gradient, makes a new version."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from configs.learning import LearnerConfig
from learner.diagnostics import MAX_KL_STATES, kl_divergence, signal_and_noise
from learner.estimator import Estimate, Estimator
from learner.learner_state import LearnerState, add_prefix, with_prefix
from learner.loss import surrogate_loss
from learner.network import MLPNetwork
from learner.optimizer import (
    load_optimizer_arrays,
    make_optimizer,
    optimizer_arrays,
    set_learning_rate,
)
from learner.policy import MLPArchitecture
from learner.schedule import scheduled_value
from learner.trajectories import Trajectories, concatenate
from learner.update_report import UpdateReport
from learner.weights import Weights

_NUM_GROUPS = 8
"""Parts of a batch whose gradients are compared for the signal-to-noise ratio."""


class Learner:
    """Owns the policy being learned. Runs in one process and touches no files.

    It uses one thread of Torch and of BLAS: small networks gain nothing from more, and sums in one
    order are what makes the weights bit-identical from run to run.
    """

    def __init__(self, config: LearnerConfig, architecture: MLPArchitecture, seed: int) -> None:
        torch.set_num_threads(1)
        threadpool_limits(1)
        self._config = config
        self._network = MLPNetwork(architecture, torch.Generator().manual_seed(seed))
        rate = scheduled_value(config.learning_rate, 0, config.schedule_updates)
        self._optimizer = make_optimizer(config.optimizer, self._network.parameters(), rate)
        self._estimator = Estimator(config, architecture, seed)
        self.version = 0

    def weights(self) -> Weights:
        """Return a copy of the current weights."""
        return Weights(self.version, self._network.flat_weights())

    def update(self, parts: Sequence[Trajectories]) -> tuple[UpdateReport, Weights]:
        """Apply one REINFORCE gradient and return what it did and the new weights.

        Args:
            parts: The trajectories of all tickets of the batch, in ticket order. Every episode
                counts exactly once.
        """
        batch = concatenate(parts)
        estimate, metrics = self._gradient(batch)
        observations = torch.from_numpy(batch.observations[:: 1 + batch.num_steps // MAX_KL_STATES])
        before = self._logits(observations)
        metrics |= self._step()
        metrics["kl"] = kl_divergence(before, self._logits(observations))
        self._estimator.fit(batch, estimate.targets)
        self.version += 1
        return UpdateReport(self.version, metrics), self.weights()

    def gradient(self, parts: Sequence[Trajectories]) -> NDArray[np.float64]:
        """Return [P] the estimate of the objective's gradient, uphill, without applying it.

        What an update would do first. The running scale takes note of the batch as it would then.
        """
        self._gradient(concatenate(parts))
        return -self._flat_gradient()

    def state(self) -> LearnerState:
        """Return a copy of everything that the next update depends on."""
        return LearnerState(
            self.version,
            {
                "weights": self._network.flat_weights(),
                **add_prefix(optimizer_arrays(self._optimizer), "optimizer."),
                **add_prefix(self._estimator.arrays(), "estimator."),
            },
        )

    def load_state(self, state: LearnerState) -> None:
        """Continue from a state that ``state`` returned."""
        self._network.load_flat_weights(state.arrays["weights"])
        load_optimizer_arrays(self._optimizer, with_prefix(state.arrays, "optimizer."))
        self._estimator.load_arrays(with_prefix(state.arrays, "estimator."))
        self.version = state.version

    def _gradient(self, batch: Trajectories) -> tuple[Estimate, dict[str, float]]:
        """Leave the gradient of the loss in the parameters; return the estimate and metrics."""
        staleness = self.version - batch.policy_version
        estimate = self._estimator.estimate(batch, self._log_ratios(batch, staleness))
        metrics = {"staleness_max": float(staleness), **estimate.metrics}
        return estimate, metrics | self._accumulate_gradient(batch, estimate.advantages)

    def _logits(self, observations: Tensor) -> Tensor:
        with torch.inference_mode():
            parts = torch.split(observations, self._config.micro_batch_steps)
            return torch.cat([self._network(part) for part in parts])

    def _log_ratios(self, batch: Trajectories, staleness: int) -> NDArray[np.float64]:
        """Return [B] log pi - log mu: exactly 0 where the current policy acted."""
        if staleness == 0:
            return np.zeros(batch.num_steps)
        log_policy = torch.log_softmax(self._logits(torch.from_numpy(batch.observations)), dim=1)
        actions = torch.from_numpy(batch.actions).unsqueeze(1)
        log_probs = log_policy.gather(1, actions).squeeze(1).numpy()
        return log_probs.astype(np.float64) - batch.behavior_log_probs

    def _accumulate_gradient(
        self, batch: Trajectories, advantages: NDArray[np.float64]
    ) -> dict[str, float]:
        """Leave the gradient of the whole batch in the parameters, a micro-batch at a time."""
        coefficient = scheduled_value(
            self._config.entropy_coefficient, self.version, self._config.schedule_updates
        )
        observations = torch.from_numpy(batch.observations)
        actions = torch.from_numpy(batch.actions)
        behavior = torch.from_numpy(batch.behavior_log_probs)
        weights = torch.from_numpy(advantages.astype(np.float32))
        loss_sum, entropy_sum, drift = 0.0, 0.0, 0.0
        group_gradients, accumulated = [], np.zeros(0)
        self._optimizer.zero_grad()
        for episodes, rows in _groups(batch.episode_lengths):
            for start in range(rows.start, rows.stop, self._config.micro_batch_steps):
                part = slice(start, min(start + self._config.micro_batch_steps, rows.stop))
                surrogate = surrogate_loss(
                    self._network(observations[part]),
                    actions[part],
                    weights[part],
                    batch.num_episodes,
                    coefficient,
                )
                surrogate.loss.backward()  # type: ignore[no-untyped-call]
                loss_sum += surrogate.loss.item()
                entropy_sum += surrogate.entropy_sum.item()
                drift = max(drift, (surrogate.log_probs - behavior[part]).abs().max().item())
            before, accumulated = accumulated, self._flat_gradient()
            share = episodes / batch.num_episodes
            group_gradients.append((accumulated - before if len(before) else accumulated) / share)
        signal, noise = signal_and_noise(group_gradients)
        return {
            "surrogate_loss": loss_sum,
            "entropy": entropy_sum / batch.num_steps,
            "log_prob_drift_max": drift,
            "gradient_signal": signal,
            "gradient_noise": noise,
            "gradient_snr": max(0.0, signal) / noise if noise > 0 else float("nan"),
        }

    def _flat_gradient(self) -> NDArray[np.float64]:
        gradients = [p.grad.flatten() for p in self._network.parameters() if p.grad is not None]
        return torch.cat(gradients).numpy().astype(np.float64)

    def _step(self) -> dict[str, float]:
        limit = self._config.max_gradient_norm
        # In float64: the squares of a long gradient overflow float32 long before it does.
        norm = float(np.linalg.norm(self._flat_gradient()))
        if not np.isfinite(norm):
            raise FloatingPointError(
                f"the gradient of update {self.version} has norm {norm}; lower "
                "learner.learning_rate, look for rewards and observations that are too large, or, "
                "with cluster.lookahead 1, choose a learner.importance_cap"
            )
        if limit is not None and norm > limit:
            for parameter in self._network.parameters():
                if parameter.grad is not None:
                    parameter.grad *= limit / norm
        rate = scheduled_value(
            self._config.learning_rate, self.version, self._config.schedule_updates
        )
        set_learning_rate(self._optimizer, rate)
        self._optimizer.step()
        return {
            "gradient_norm": norm,
            "clipped_fraction": float(limit is not None and norm > limit),
            "learning_rate": rate,
        }


def _groups(episode_lengths: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Yield (number of episodes, rows) of consecutive parts of a batch, equal up to one episode."""
    ends = np.cumsum(episode_lengths)
    borders = np.linspace(0, len(ends), min(_NUM_GROUPS, len(ends)) + 1).astype(int)
    for first, last in pairwise(borders):
        start = int(ends[first - 1]) if first else 0
        yield int(last - first), slice(start, int(ends[last - 1]))
