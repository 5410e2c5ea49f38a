"""The central learner: recomputes log-probabilities, applies the gradient, makes a new version."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.learning import LearnerConfig
from learner.advantages import RunningScale, advantages_over, scaled_advantages
from learner.baselines import baseline_values
from learner.learner_state import LearnerState
from learner.loss import surrogate_loss
from learner.network import MLPNetwork
from learner.policy import MLPArchitecture
from learner.returns import rewards_to_go
from learner.trajectories import Trajectories, concatenate
from learner.update_report import UpdateReport
from learner.weights import Weights


class Learner:
    """Owns the policy being learned. Runs in one process and touches no files.

    It uses one thread of Torch: small networks gain nothing from more, and sums in one order are
    what makes the weights bit-identical from run to run.
    """

    def __init__(self, config: LearnerConfig, architecture: MLPArchitecture, seed: int) -> None:
        torch.set_num_threads(1)
        self._config = config
        self._network = MLPNetwork(architecture, torch.Generator().manual_seed(seed))
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)
        self._running_scale = RunningScale()
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
        advantages, metrics = self._advantages(batch)
        metrics["staleness_max"] = float(self.version - batch.policy_version)
        metrics |= self._accumulate_gradient(batch, advantages)
        metrics |= self._step()
        self.version += 1
        return UpdateReport(self.version, metrics), self.weights()

    def state(self) -> LearnerState:
        """Return a copy of everything that the next update depends on."""
        arrays = {"weights": self._network.flat_weights()}
        moments = self._optimizer.state_dict()["state"]
        for index, moment in moments.items():
            for name, value in moment.items():
                arrays[f"optimizer.{index}.{name}"] = value.detach().numpy().copy()
        return LearnerState(self.version, arrays, self._running_scale)

    def load_state(self, state: LearnerState) -> None:
        """Continue from a state that ``state`` returned."""
        moments: dict[int, dict[str, Tensor]] = {}
        for key, array in state.arrays.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = torch.tensor(array)
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})
        self._network.load_flat_weights(state.arrays["weights"])
        self._running_scale = state.running_scale
        self.version = state.version

    def _advantages(self, batch: Trajectories) -> tuple[NDArray[np.float64], dict[str, float]]:
        to_go = rewards_to_go(batch.rewards, batch.episode_lengths, self._config.discount)
        baseline = baseline_values(self._config.baseline, to_go, batch.episode_lengths)
        advantages = advantages_over(to_go, baseline)
        scaled = scaled_advantages(
            self._config.advantage_scale, advantages, batch.episode_lengths, self._running_scale
        )
        self._running_scale = self._running_scale.updated(advantages)
        second_moment = float(np.mean(to_go**2))
        removed = 1.0 - float(np.mean(advantages**2)) / second_moment if second_moment else 0.0
        return scaled, {
            "advantage_std": float(advantages.std()),
            "baseline_variance_removed": removed,
        }

    def _accumulate_gradient(
        self, batch: Trajectories, advantages: NDArray[np.float64]
    ) -> dict[str, float]:
        """Leave the gradient of the whole batch in the parameters, a micro-batch at a time."""
        self._optimizer.zero_grad()
        observations = torch.from_numpy(batch.observations)
        actions = torch.from_numpy(batch.actions)
        behavior = torch.from_numpy(batch.behavior_log_probs)
        weights = torch.from_numpy(advantages.astype(np.float32))
        loss_sum, entropy_sum, drift = 0.0, 0.0, 0.0
        for start in range(0, batch.num_steps, self._config.micro_batch_steps):
            part = slice(start, start + self._config.micro_batch_steps)
            surrogate = surrogate_loss(
                self._network(observations[part]),
                actions[part],
                weights[part],
                batch.num_episodes,
                self._config.entropy_coefficient,
            )
            surrogate.loss.backward()  # type: ignore[no-untyped-call]
            loss_sum += surrogate.loss.item()
            entropy_sum += surrogate.entropy_sum.item()
            drift = max(drift, (surrogate.log_probs - behavior[part]).abs().max().item())
        return {
            "surrogate_loss": loss_sum,
            "entropy": entropy_sum / batch.num_steps,
            "log_prob_drift_max": drift,
        }

    def _step(self) -> dict[str, float]:
        limit = self._config.max_gradient_norm
        norm = nn.utils.clip_grad_norm_(
            self._network.parameters(), float("inf") if limit is None else limit
        ).item()
        if not np.isfinite(norm):
            raise FloatingPointError(
                f"the gradient of update {self.version} has norm {norm}; lower "
                "learner.learning_rate or look for rewards and observations that are too large"
            )
        self._optimizer.step()
        return {
            "gradient_norm": norm,
            "clipped_fraction": float(limit is not None and norm > limit),
            "learning_rate": self._config.learning_rate,
        }
