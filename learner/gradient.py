"""Forward and backward passes of the policy over a batch, in micro-batches, threads and processes.

Summation order depends only on the batch: the gradient of a group of episodes is the sum of
its micro-batches, that of the batch the sum of its groups, each in order. The number of threads
and of processes changes only the speed (docs/decisions/0075-the-learner-in-threads.md and
0125-several-learners.md).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.device import differentiated_body, prepare_device
from reinforce.learner.loss import MAX_KL_STATES, signal_and_noise, surrogate_loss
from reinforce.learner.micro_batches import MicroBatch, episode_groups, micro_batches, some_states
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.networks.torch_distributions import (
    TorchDistribution,
    make_torch_distribution,
)
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories, concatenate, consecutive

_MAX_THREADS = 4
"""Most threads: each holds a micro-batch's intermediate results for the backward pass."""

_MIN_MICRO_BATCHES = 2
"""Smallest batch that is worth more than one thread
(docs/decisions/0075-the-learner-in-threads.md)."""

_OWN_KINDS = ("mlp", "cnn", "gru")
"""Networks without state between calls, which threads can share."""

_Gradient: TypeAlias = Sequence[Tensor | None]
"""One tensor per parameter, None without a gradient."""


class GroupGradient(NamedTuple):
    """The contribution of a group of episodes to the batch's gradient.

    Attributes:
        loss: Gradient of the loss.
        policy_loss: The same without the entropy bonus, which hardly differs between groups and
            would pass for a signal.
        measured: [3] sums of the loss and of the entropy over the steps, and the largest difference
            from the log-probabilities of the policy that acted.
    """

    loss: _Gradient
    policy_loss: _Gradient
    measured: Tensor

    def moved(self, move: Callable[[Any], Any]) -> "GroupGradient":
        """Return it with each tensor replaced by what ``move`` makes of it."""
        loss = [None if part is None else move(part) for part in self.loss]
        is_the_same = self.policy_loss is self.loss
        policy = [None if part is None else move(part) for part in self.policy_loss]
        return GroupGradient(loss, loss if is_the_same else policy, move(self.measured))


@dataclass(frozen=True, eq=False)
class GradientTask:
    """What the gradients of some groups of episodes depend on, besides the weights.

    Attributes:
        batch: Consecutive episodes of a batch.
        advantages: [B] float32, constants.
        entropy_coefficient: >= 0, as in ``surrogate_loss``.
        num_episodes: Episodes of the whole batch.
        groups: (first, end) of the episodes of each group, counted within ``batch``.
    """

    batch: Trajectories
    advantages: NDArray[np.float32]
    entropy_coefficient: float
    num_episodes: int
    groups: Sequence[tuple[int, int]]

    def shares(self, number: int) -> list[Self]:
        """Cut it into at most ``number`` tasks of consecutive groups, equal up to one group."""
        borders = np.linspace(0, len(self.groups), min(number, len(self.groups)) + 1).astype(int)
        return [self._share(self.groups[first:end]) for first, end in pairwise(borders)]

    def _share(self, groups: Sequence[tuple[int, int]]) -> Self:
        first, end = groups[0][0], groups[-1][1]
        row = int(self.batch.episode_lengths[:first].sum())
        batch = consecutive(self.batch, first, end)
        return replace(
            self,
            batch=batch,
            advantages=self.advantages[row : row + batch.num_steps],
            groups=[(start - first, stop - first) for start, stop in groups],
        )


class PolicyPasses:
    """The policy's network on the batches of one learner."""

    def __init__(
        self,
        config: LearnerConfig,
        architecture: PolicyArchitecture,
        network: PolicyNetwork,
        num_threads: int | None = None,
        share: "Share | None" = None,
    ) -> None:
        """Prepare the passes; only tests set ``num_threads``, other processes help to ``share``."""
        self._device, self._max_steps = config.device, config.micro_batch_steps
        self._has_kl_limit, self._share = config.max_kl is not None, share
        self._action = architecture.action
        self._network = network
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._differentiated_body = differentiated_body(network, config)
        # One thread per core, up to a few; one alone where more are of no use or no good.
        is_shared = (
            config.device == "cpu" and not config.compile and architecture.kind in _OWN_KINDS
        )
        num_suitable = min(_MAX_THREADS, len(os.sched_getaffinity(0))) if is_shared else 1
        self._num_threads = num_threads or num_suitable
        # Torch is told in each of them that an operation is one thread: it forgets.
        self._pool = ThreadPoolExecutor(self._num_threads, "learner", torch.set_num_threads, (1,))

    @property
    def are_whole_episodes(self) -> bool:
        """Whether a pass must begin at the start of an episode, because the policy has a memory."""
        return self._network.state_size > 0

    def distribution(
        self,
        batch: Trajectories,
        part: MicroBatch,
        body: Callable[..., Tensor] | None = None,
    ) -> TorchDistribution:
        """Return the distributions over the actions of some steps, as the workers had them."""
        parameters = self._network(batch.observations[part.rows], part.episode_lengths, body)
        masks = None if batch.action_masks is None else self._tensor(batch.action_masks[part.rows])
        return make_torch_distribution(self._action, parameters, masks)

    def compared_states(self, batch: Trajectories) -> list[MicroBatch]:
        """Return the states on which two versions are compared: all of them with ``max_kl``."""
        if self._has_kl_limit:
            return list(self._micro_batches(batch, (0, batch.num_episodes)))
        lengths, whole_episodes = batch.episode_lengths, self.are_whole_episodes
        return [some_states(lengths, MAX_KL_STATES, whole_episodes=whole_episodes)]

    def distributions(
        self, batch: Trajectories, parts: Iterable[MicroBatch]
    ) -> list[TorchDistribution]:
        """Return the distributions over the actions of each part, without gradients."""

        def of(part: MicroBatch) -> TorchDistribution:
            with torch.inference_mode():
                return self.distribution(batch, part)

        return list(self._map(batch)(of, parts))

    def log_probs(self, batch: Trajectories) -> NDArray[np.float64]:
        """Return [B] the log-probabilities of the actions, without differentiating them."""

        def of(part: MicroBatch) -> Tensor:
            with torch.inference_mode():
                actions = self._tensor(batch.actions[part.rows])
                return self.distribution(batch, part).log_prob(actions)

        parts = self._micro_batches(batch, (0, batch.num_episodes))
        log_probs = list(self._map(batch)(of, parts))
        return torch.cat(log_probs).cpu().numpy().astype(np.float64)

    def differentiate(
        self, batch: Trajectories, advantages: NDArray[np.float64], entropy_coefficient: float
    ) -> dict[str, float]:
        """Store the gradient of the surrogate loss in the parameters; return metrics.

        Args:
            batch: Whole episodes.
            advantages: [B] constants.
            entropy_coefficient: >= 0, as in ``surrogate_loss``.
        """
        groups = episode_groups(batch.num_episodes)
        task = GradientTask(
            batch, advantages.astype(np.float32), entropy_coefficient, batch.num_episodes, groups
        )
        found = self._share(task, self) if self._share else self.gradients(task)
        gradients, policy_gradients, sums = zip(*found, strict=True)
        for parameter, parts in zip(self._parameters, zip(*gradients, strict=True), strict=True):
            parameter.grad = _sum(parts)
        sizes = [end - first for first, end in groups]
        signal, noise = signal_and_noise(
            [
                self._flat(part) * (batch.num_episodes / size)
                for part, size in zip(policy_gradients, sizes, strict=True)
            ],
            sizes,
        )
        losses, entropies, drifts = zip(*(of_group.tolist() for of_group in sums), strict=True)
        return {
            "surrogate_loss": sum(losses),
            "entropy": sum(entropies) / batch.num_steps,
            "log_prob_drift_max": max(drifts),
            "gradient_signal": signal,
            "gradient_noise": noise,
            "gradient_snr": max(0.0, signal) / noise if noise > 0 else float("nan"),
        }

    def gradients(self, task: GradientTask) -> list[GroupGradient]:
        """Return the contribution of each group, computed in this process."""
        of = partial(self._group_gradient, task)
        return list(self._map(task.batch)(of, task.groups))

    def received(self, groups: Iterable[GroupGradient]) -> list[GroupGradient]:
        """Return what a ``Differentiator`` returned as tensors on the device."""
        return [group.moved(partial(torch.tensor, device=self._device)) for group in groups]

    def flat_weights(self) -> NDArray[np.float32]:
        """Return a copy of the network's weights, as ``PolicyNetwork.flat_weights``."""
        return self._network.flat_weights()

    def _map(self, batch: Trajectories) -> Callable[..., Iterator[Any]]:
        """Return a map function: in threads, unless the batch is too small for them."""
        is_worth_it = batch.num_steps > _MIN_MICRO_BATCHES * self._max_steps
        return self._pool.map if is_worth_it and self._num_threads > 1 else map

    def _group_gradient(self, task: GradientTask, episodes: tuple[int, int]) -> GroupGradient:
        """Return the contribution of some episodes to the gradient."""
        batch, entropy_coefficient = task.batch, task.entropy_coefficient
        sums: _Gradient = [None] * len(self._parameters)
        policy_sums = sums
        # On the device and read at the very end: to ask a GPU for a number is to wait for it.
        loss, entropy, drift = torch.zeros(3, dtype=torch.float64, device=self._device)
        for part in self._micro_batches(batch, episodes):
            surrogate = surrogate_loss(
                self.distribution(batch, part, self._differentiated_body),
                self._tensor(batch.actions[part.rows]),
                self._tensor(task.advantages[part.rows]),
                task.num_episodes,
                entropy_coefficient,
            )
            if entropy_coefficient > 0:
                # One more pass backwards, only for the ratio of signal and noise.
                policy_sums = self._added(policy_sums, surrogate.policy_loss, keep_graph=True)
            sums = self._added(sums, surrogate.loss)
            loss += surrogate.loss.detach()
            entropy += surrogate.entropy_sum
            behavior = self._tensor(batch.behavior_log_probs[part.rows])
            drift = torch.fmax(drift, (surrogate.log_probs - behavior).abs().max())
        measured = torch.stack([loss, entropy, drift])
        return GroupGradient(sums, policy_sums if entropy_coefficient > 0 else sums, measured)

    def _added(self, sums: _Gradient, loss: Tensor, *, keep_graph: bool = False) -> _Gradient:
        """Return the sums with the gradient of a loss added."""
        gradients = torch.autograd.grad(
            loss, self._parameters, retain_graph=keep_graph, allow_unused=True
        )
        return [_sum(pair) for pair in zip(sums, gradients, strict=True)]

    def _micro_batches(
        self, batch: Trajectories, episodes: tuple[int, int]
    ) -> Iterator[MicroBatch]:
        return micro_batches(
            batch.episode_lengths,
            episodes,
            self._max_steps,
            whole_episodes=self.are_whole_episodes,
        )

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array on the device; whole batches stay where they are."""
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _flat(self, gradients: _Gradient) -> NDArray[np.float64]:
        """Return [P] the gradient as one vector, zeros where there is none."""
        flat = [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for parameter, gradient in zip(self._parameters, gradients, strict=True)
        ]
        return torch.cat(flat).cpu().numpy().astype(np.float64)


def _sum(gradients: Iterable[Tensor | None]) -> Tensor | None:
    total = None
    for gradient in gradients:
        if gradient is not None:
            total = gradient if total is None else total + gradient
    return total


Share: TypeAlias = Callable[[GradientTask, PolicyPasses], list[GroupGradient]]
"""Returns what ``PolicyPasses.gradients`` does, with the help of other processes."""


class Differentiator:
    """The policy's network in a process that helps the learner with its gradients."""

    def __init__(self, config: LearnerConfig, architecture: PolicyArchitecture) -> None:
        prepare_device(config.device)
        network = PolicyNetwork(architecture, torch.Generator(), config.device)
        self._network, self._passes = network, PolicyPasses(config, architecture, network)

    def gradients(self, task: GradientTask, weights: NDArray[np.float32]) -> list[GroupGradient]:
        """Return the contribution of each group, on the CPU, for a policy with these weights."""
        self._network.load_flat_weights(weights)
        # Copied: Torch takes no arrays that cannot be written to, as those in shared memory are.
        own = replace(task, batch=concatenate([task.batch]), advantages=task.advantages.copy())
        return [group.moved(lambda x: x.cpu().numpy()) for group in self._passes.gradients(own)]
