"""A learned value function, fitted to a batch only *after* being used on it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.time_input import TimeInput
from reinforce.learner.micro_batches import MicroBatch, micro_batches
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.optimizer import Optimizer
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.spaces import ActionLayout, ActionLeaf
from reinforce.learner.policies.trajectories import Trajectories, rows_of, step_indices
from reinforce.learner.state import arrays_of, load_arrays_of

_PASSES = 4
"""Passes over the batch per fit."""

_STATISTICS_DECAY = 0.9

_ONE_NUMBER = ActionLayout((ActionLeaf((), "categorical", (), "int64", (1,), (0,)),))
"""A network with a single output, the value."""


class ValueBaseline:
    """``V(s)``: a network of the policy's hidden sizes with one output, trained by least squares.

    It has convolutions for images. Observations are normalised as for the policy. With
    ``value_horizon_steps`` it is ``V(s, t)``; with ``value_memory`` it has a memory of its own, as
    in policies of kind gru: ``V(s_0, ..., s_t)``.

    Unbiased as a baseline (lambda = 1), because it is known before the batch is played. Fitting it
    before using it on the same batch would let it explain away the noise that it should average,
    which is a bias. The network learns standardised targets, whose mean and deviation are running
    averages.

    Source: Sutton & Barto (2018), section 13.4.
    """

    def __init__(self, config: LearnerConfig, policy: PolicyArchitecture, seed: int) -> None:
        kind = policy.kind
        if config.value_memory:
            kind = "gru"
        elif kind not in ("mlp", "cnn"):
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

    def values(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [B] the values of the steps; 0 before the first fit."""
        return self._values_of(batch.observations, batch.episode_lengths)

    def values_after_last(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [E] the values of what followed the last action of each episode."""
        lengths, last = batch.episode_lengths, batch.final_observations
        if not self._has_memory:
            return self._values_of(last, np.ones_like(lengths), first_steps=lengths)
        ends = np.cumsum(lengths)
        values = self._values_of(np.insert(batch.observations, ends, last, axis=0), lengths + 1)
        after_last: NDArray[np.float64] = values[ends + np.arange(len(ends))]
        return after_last

    def fit(self, batch: Trajectories, targets: NDArray[np.float64]) -> None:
        """Train on [B] targets, for later batches."""
        self._update_statistics(targets)
        standardized = (targets - self._mean) / self._deviation
        goals = torch.from_numpy(standardized.astype(np.float32))
        # The order is a function of the seed and the number of fits: no generator to checkpoint.
        seed = seed_of(self._seed, Stream.VALUE_SHUFFLES, self._num_fits)
        generator = torch.Generator().manual_seed(seed)
        steps = step_indices(batch.episode_lengths)
        for _ in range(_PASSES):
            for part in self._shuffled(batch, generator):
                rows = part.rows
                self._network.zero_grad()
                values = self._outputs(batch.observations[rows], steps[rows], part.episode_lengths)
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

    @property
    def _has_memory(self) -> bool:
        return self._network.state_size > 0

    def _values_of(
        self,
        observations: NDArray[Any],
        lengths: NDArray[np.int64],
        first_steps: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.float64]:
        """Return [n] the values of consecutive steps of episodes, [E] of them from each."""
        if self._num_fits == 0:
            return np.zeros(len(observations))
        steps = step_indices(lengths) + first_steps
        episodes, size = (0, len(lengths)), self._config.micro_batch_steps
        parts = micro_batches(lengths, episodes, size, whole_episodes=self._has_memory)
        with torch.inference_mode():
            outputs = [
                self._outputs(observations[part.rows], steps[part.rows], part.episode_lengths)
                for part in parts
            ]
        standardized = torch.cat(outputs).cpu().numpy().astype(np.float64)
        return self._mean + self._deviation * standardized

    def _shuffled(self, batch: Trajectories, generator: torch.Generator) -> Iterator[MicroBatch]:
        """Yield all steps of a batch in random order, or all episodes for a memory, in parts."""
        size = min(self._config.micro_batch_steps, max(1, batch.num_steps // 8))
        if not self._has_memory:
            for rows in torch.split(torch.randperm(batch.num_steps, generator=generator), size):
                yield MicroBatch(rows.numpy(), None)
            return
        episodes = torch.randperm(batch.num_episodes, generator=generator).numpy()
        lengths, rows_in_order = batch.episode_lengths[episodes], rows_of(batch, episodes)
        for part in micro_batches(lengths, (0, len(lengths)), size, whole_episodes=True):
            yield MicroBatch(rows_in_order[part.rows], part.episode_lengths)

    def _outputs(
        self,
        observations: NDArray[Any],
        steps: NDArray[np.int64],
        episode_lengths: NDArray[np.int64] | None,
    ) -> Tensor:
        """Return [n] standardised values."""
        rows = self._time.rows(observations, steps) if self._time else observations
        outputs: Tensor = self._network(rows, episode_lengths).squeeze(1)
        return outputs

    def _update_statistics(self, targets: NDArray[np.float64]) -> None:
        mean, deviation = float(targets.mean()), float(targets.std())
        keep = _STATISTICS_DECAY if self._num_fits else 0.0
        self._mean = keep * self._mean + (1 - keep) * mean
        self._deviation = max(keep * self._deviation + (1 - keep) * deviation, 1e-8)
