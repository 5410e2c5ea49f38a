"""A learned value function, fitted to a batch only *after* being used on it."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.time_input import TimeInput
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.optimizer import Optimizer
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.spaces import ActionLayout, ActionLeaf
from reinforce.learner.policies.trajectories import Trajectories, step_indices
from reinforce.learner.state import arrays_of, load_arrays_of

_PASSES = 4
"""Passes over the batch per fit."""

_STATISTICS_DECAY = 0.9

_ONE_NUMBER = ActionLayout((ActionLeaf((), "categorical", (), "int64", (1,), (0,)),))
"""A network with a single output, the value."""


class ValueBaseline:
    """``V(s)``: a network of the policy's hidden sizes with one output, trained by least squares.

    It has convolutions for images, but no memory. Observations are normalised as for the policy.
    With ``value_horizon_steps`` it is ``V(s, t)``.

    Unbiased as a baseline (lambda = 1), because it is known before the batch is played. Fitting it
    before using it on the same batch would let it explain away the noise that it should average,
    which is a bias. The network learns standardised targets, whose mean and deviation are running
    averages.

    Source: Sutton & Barto (2018), section 13.4.
    """

    def __init__(self, config: LearnerConfig, policy: PolicyArchitecture, seed: int) -> None:
        kind = policy.kind
        if kind not in ("mlp", "cnn"):
            kind = "cnn" if policy.observation.pixel_leaves else "mlp"
        horizon_steps, seen = config.value_horizon_steps, policy.observation
        self._time = TimeInput(seen, horizon_steps) if horizon_steps else None
        architecture = replace(
            policy,
            kind=kind,
            observation=self._time.layout if self._time else seen,
            action=_ONE_NUMBER,
            arguments={},
        )
        self._seed = seed
        self._config = config
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.VALUE_WEIGHTS))
        self._network = PolicyNetwork(architecture, generator, config.device)
        self._optimizer = Optimizer("adam", self._network.parameters())
        self._mean, self._deviation = 0.0, 1.0
        self._num_fits = 0

    def values(self, observations: NDArray[Any], steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [n] the values of observations at [n] steps; 0 before the first fit."""
        if self._num_fits == 0:
            return np.zeros(len(observations))
        with torch.inference_mode():
            size = self._config.micro_batch_steps
            parts = [
                self._outputs(observations[start : start + size], steps[start : start + size])
                for start in range(0, len(observations), size)
            ]
        standardized = torch.cat(parts).cpu().numpy().astype(np.float64)
        return self._mean + self._deviation * standardized

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Train on [B] targets, for later batches."""
        self._update_statistics(targets)
        standardized = (targets - self._mean) / self._deviation
        goals = torch.from_numpy(standardized.astype(np.float32))
        # The order is a function of the seed and the number of fits: no generator to checkpoint.
        seed = seed_of(self._seed, Stream.VALUE_SHUFFLES, self._num_fits)
        generator = torch.Generator().manual_seed(seed)
        size = min(self._config.micro_batch_steps, max(1, batch.num_steps // 8))
        steps = step_indices(batch.episode_lengths)
        for _ in range(_PASSES):
            order = torch.randperm(batch.num_steps, generator=generator)
            for rows in torch.split(order, size):
                self._network.zero_grad()
                values = self._outputs(batch.observations[rows.numpy()], steps[rows.numpy()])
                error = values - goals[rows].to(self._config.device)
                (error**2).mean().backward()  # type: ignore[no-untyped-call]
                self._optimizer.step(self._config.value_learning_rate)
        self._num_fits += 1

    def load_statistics(self, statistics: NDArray[np.float32]) -> None:
        """Normalise observations with these statistics from now on."""
        statistics = self._time.statistics(statistics) if self._time else statistics
        self._network.load_statistics(statistics)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "weights": self._network.flat_weights(),
            "statistics": np.array([self._mean, self._deviation, self._num_fits]),
            **arrays_of(optimizer=self._optimizer),
        }

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._network.load_flat_weights(arrays["weights"])
        self._mean, self._deviation = map(float, arrays["statistics"][:2])
        self._num_fits = int(arrays["statistics"][2])
        load_arrays_of(arrays, optimizer=self._optimizer)

    def _outputs(self, observations: NDArray[Any], steps: NDArray[np.int64]) -> Tensor:
        """Return [n] standardised values."""
        rows = self._time.rows(observations, steps) if self._time else observations
        outputs: Tensor = self._network(rows).squeeze(1)
        return outputs

    def _update_statistics(self, targets: NDArray[np.float64]) -> None:
        mean, deviation = float(targets.mean()), float(targets.std())
        keep = _STATISTICS_DECAY if self._num_fits else 0.0
        self._mean = keep * self._mean + (1 - keep) * mean
        self._deviation = max(keep * self._deviation + (1 - keep) * deviation, 1e-8)
