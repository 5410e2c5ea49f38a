"""Behaviour cloning: fits the policy that makes recorded actions most likely.

Maximum likelihood is the surrogate loss of REINFORCE with an advantage of 1 for every step of the
data, so it shares the learner's passes, distributions and networks.

Source: Pomerleau (1991), "Efficient Training of Artificial Neural Networks for Autonomous
Navigation", Neural Computation 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reinforce.configs.errors import ConfigError
from reinforce.configs.learning import LearnerConfig
from reinforce.learner.device import prepare_device
from reinforce.learner.gradient import PolicyPasses
from reinforce.learner.micro_batches import micro_batches
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.optimizer import Optimizer, clip_gradient, scheduled_value
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import make_distribution, masked
from reinforce.learner.policies.normalizer import ObservationStatistics
from reinforce.learner.policies.seeds import Stream, seed_of, seed_sequence
from reinforce.learner.policies.trajectories import Trajectories, select
from reinforce.learner.state import LearnerState, arrays_of, load_arrays_of


@dataclass(frozen=True)
class Likelihood:
    """How well a policy explains recorded actions.

    Attributes:
        log_likelihood: Mean log-probability of an action (nats); for real numbers, log-density.
        accuracy: Share of the steps whose action is the most probable one; None for real numbers.
    """

    log_likelihood: float
    accuracy: float | None

    def __str__(self) -> str:
        share = "" if self.accuracy is None else f", {100 * self.accuracy:.1f} % of actions equal"
        return f"log-likelihood {self.log_likelihood:.4f} nats{share}"


class Imitation:
    """A policy being fitted to recorded actions. Equal data and seeds give equal weights."""

    def __init__(
        self,
        config: LearnerConfig,
        architecture: PolicyArchitecture,
        seed: int,
        data: Trajectories,
        start: LearnerState | None = None,
    ) -> None:
        """Begin with the initial weights of a training run, and the statistics of the data.

        Raises:
            ConfigError: The policy has a memory, but the data does not say where episodes begin.
        """
        prepare_device(config.device)
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.POLICY_WEIGHTS))
        self._config, self._architecture, self._seed = config, architecture, seed
        self._network = PolicyNetwork(architecture, generator, config.device)
        if self._network.state_size and (data.episode_lengths == 1).all():
            raise ConfigError(
                f"policy.kind = {architecture.kind!r} has a memory, but the data does not say "
                "where episodes begin: add the array 'episode_lengths'"
            )
        self._passes = PolicyPasses(config, architecture, self._network)
        self._parameters = list(self._network.parameters())
        self._optimizer = Optimizer(config.optimizer, self._parameters)
        self._statistics = None
        if architecture.normalize_observations:
            self._statistics = ObservationStatistics(architecture.observation.is_continuous)
        if start:
            self._network.load_flat_weights(start.arrays["weights"])
            load_arrays_of(start.arrays, statistics=self._statistics)
        if self._statistics:
            self._statistics.update(architecture.observation.vector(data.observations))
            self._network.load_statistics(self._statistics.frozen())

    def epochs(self, data: Trajectories, num_epochs: int, batch_steps: int) -> Iterator[float]:
        """Fit the policy, and yield the mean log-likelihood of each epoch.

        Args:
            data: The training data.
            num_epochs: Passes over the data, >= 1.
            batch_steps: Steps per gradient, >= 1, in whole episodes because of policies with a
                memory.

        Raises:
            FloatingPointError: The likelihood or its gradient is not finite.
        """
        for epoch in range(num_epochs):
            seeds = seed_sequence(self._seed, Stream.MINIBATCHES, epoch)
            batches = minibatches(data.episode_lengths, batch_steps, seeds)
            total = 0.0
            for number, episodes in enumerate(batches):
                batch = select(data, episodes)
                progress = epoch * len(batches) + number
                total += self._step(batch, progress, num_epochs * len(batches)) * batch.num_steps
            yield total / data.num_steps

    def _step(self, batch: Trajectories, number: int, num_steps: int) -> float:
        """Apply one step, and return the log-likelihood before it."""
        log_likelihood = -self.gradient(batch)
        if not np.isfinite(log_likelihood):
            raise FloatingPointError(
                f"the log-likelihood is {log_likelihood} in minibatch {number}; lower "
                "learner.learning_rate, or set policy.normalize_observations"
            )
        try:
            clip_gradient(self._parameters, self._config.max_gradient_norm)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"the gradient of minibatch {number} has {error}; lower learner.learning_rate"
            ) from None
        self._optimizer.step(scheduled_value(self._config.learning_rate, number, num_steps))
        return log_likelihood

    def gradient(self, batch: Trajectories) -> float:
        """Return the negative mean log-likelihood, with its gradient in the parameters."""
        # The loss is divided by the number of episodes; this makes it a mean over steps.
        ones = np.full(batch.num_steps, batch.num_episodes / batch.num_steps)
        return self._passes.differentiate(batch, ones, 0.0)["surrogate_loss"]

    def likelihood(self, data: Trajectories) -> Likelihood:
        """Return how well the policy explains some data."""
        log_likelihood = float(self._passes.log_probs(data).mean())
        if self._architecture.action.num_gaussians:
            return Likelihood(log_likelihood, None)
        is_equal = self._modes(data) == data.actions
        return Likelihood(log_likelihood, float(is_equal.reshape(data.num_steps, -1).all(1).mean()))

    def _modes(self, data: Trajectories) -> NDArray[np.int64]:
        """Return [B, ...] the most probable actions."""
        distribution, modes = make_distribution(self._architecture.action), []
        for part in micro_batches(
            *(data.episode_lengths, (0, data.num_episodes), self._config.micro_batch_steps),
            whole_episodes=self._passes.are_whole_episodes,
        ):
            with torch.inference_mode():
                parameters = self._network(data.observations[part.rows], part.episode_lengths)
            masks = None if data.action_masks is None else data.action_masks[part.rows]
            modes.append(distribution.mode(masked(parameters.cpu().numpy(), masks)))
        return np.concatenate(modes)

    def state(self) -> LearnerState:
        """Return a learner's initial policy and observation statistics."""
        arrays = arrays_of(statistics=self._statistics)
        weights = self._network.flat_weights()
        return LearnerState(0, {"weights": weights, **arrays}, is_warm_start=True)


def minibatches(
    episode_lengths: NDArray[np.int64], batch_steps: int, seeds: np.random.SeedSequence
) -> list[NDArray[np.int64]]:
    """Return the episodes in random order, in groups of about ``batch_steps`` steps."""
    order = np.random.default_rng(seeds).permutation(len(episode_lengths))
    groups = (np.cumsum(episode_lengths[order]) - 1) // batch_steps
    return np.split(order, np.flatnonzero(np.diff(groups)) + 1)


def held_out(data: Trajectories, share: float, seed: int) -> tuple[Trajectories, Trajectories]:
    """Return the data for training, and a random share of its episodes held out.

    Raises:
        ConfigError: There are fewer than two episodes.
    """
    if data.num_episodes < 2:
        raise ConfigError("the data holds one episode, but one must be held out: record more")
    seeds = seed_sequence(seed, Stream.HELD_OUT)
    order = np.random.default_rng(seeds).permutation(data.num_episodes)
    num = min(max(1, round(share * data.num_episodes)), data.num_episodes - 1)
    return select(data, np.sort(order[num:])), select(data, np.sort(order[:num]))
