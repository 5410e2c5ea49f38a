"""The differentiable policy: from observations to distribution parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reinforce.configs.learning import Device
from reinforce.learner.networks.body import FeedforwardBody
from reinforce.learner.networks.custom import make_custom_body
from reinforce.learner.networks.gru import GRUBody
from reinforce.learner.networks.layers import Parts
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.normalizer import OBSERVATION_LIMIT
from reinforce.learner.policies.policy import Policy
from reinforce.learner.policies.spaces import VECTOR
from reinforce.learner.policies.weights import Weights

_INITIAL_LOG_STD = -0.5
"""Standard deviation 0.6: wide enough to explore, narrow enough to stay off the bounds
(Andrychowicz et al. 2021, arXiv:2006.05990, section 3.2)."""


class PolicyNetwork(nn.Module):
    """Maps observations to the parameters of the distribution over actions.

    A body of the architecture's kind computes logits and means. Log standard deviations are
    separate parameters, one per component of a Gaussian and the same in every state. There is
    neither dropout nor batch normalisation: the recomputed log-probabilities would no longer be
    those of the policy that acted.

    It is created on the CPU, so that its initial weights are the same on every device.

    Raises:
        UnsuitablePolicyError: The user's class cannot be used.
    """

    def __init__(
        self,
        architecture: PolicyArchitecture,
        generator: torch.Generator,
        device: Device = "cpu",
    ) -> None:
        super().__init__()
        self._device = device
        self.layout = architecture.observation
        num_gaussians = architecture.action.num_gaussians
        log_stds = torch.full((num_gaussians,), _INITIAL_LOG_STD)
        self.log_stds = nn.Parameter(log_stds) if num_gaussians else None
        makers = {"mlp": FeedforwardBody, "cnn": FeedforwardBody, "gru": GRUBody}
        make = makers.get(architecture.kind, make_custom_body)
        self.body: nn.Module = make(architecture, generator)
        statistics = torch.zeros(2, self.layout.vector_size)
        statistics[1] = 1.0
        self._statistics = statistics if architecture.normalize_observations else None
        self.to(device)

    @property
    def state_size(self) -> int:
        """Size of the memory from step to step; 0 for a policy that is not recurrent."""
        return int(getattr(self.body, "state_size", 0))

    def parts(self, observations: NDArray[Any] | Tensor) -> Parts:
        """Return rows of observations as tensors, normalised if the architecture says so.

        They are normalised before they go to the device: on the CPU, as by the workers.
        """
        if isinstance(observations, Tensor):
            observations = observations.numpy()
        layout = self.layout
        parts: Parts = {}
        if layout.vector_size:
            parts[VECTOR] = self.normalized(torch.from_numpy(layout.vector(observations)))
        for name, image in layout.pixels(observations).items():
            parts[name] = torch.from_numpy(image)
        return {name: part.to(self._device, non_blocking=True) for name, part in parts.items()}

    def normalized(self, vector: Tensor) -> Tensor:
        """Return [n, vector_size] numbers normalised, if the architecture says so."""
        if self._statistics is None:
            return vector
        vector = (vector - self._statistics[0]) * self._statistics[1]
        return vector.clamp(-OBSERVATION_LIMIT, OBSERVATION_LIMIT)

    def forward(
        self,
        observations: NDArray[Any] | Tensor,
        episode_lengths: NDArray[np.int64] | None = None,
        body: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Return [n, num_outputs + num_gaussians] parameters for rows of observations.

        Args:
            observations: [n, ...] rows of ``ObservationLayout``.
            episode_lengths: For a recurrent policy, the steps of each episode in the rows, with sum
                n.
            body: A replacement for ``self.body`` (``learner.device``).
        """
        body, parts = self.body if body is None else body, self.parts(observations)
        outputs = body(parts, episode_lengths) if self.state_size else body(parts)
        return self.with_log_stds(outputs)

    def step(self, observations: NDArray[Any], states: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parameters of one step of n episodes, and their new [n, state_size] states."""
        step: Callable[..., tuple[Tensor, Tensor]] = self.body.step  # type: ignore[assignment]
        outputs, states = step(self.parts(observations), states)
        return self.with_log_stds(outputs), states

    def flat_weights(self) -> NDArray[np.float32]:
        """Return a copy of all parameters, buffers and statistics, in this order, as one vector."""
        vector = nn.utils.parameters_to_vector(self._weights()).detach().cpu()
        if self._statistics is not None:
            vector = torch.cat([vector, self._statistics.flatten()])
        return vector.numpy().copy()

    def load_flat_weights(self, values: NDArray[np.float32]) -> None:
        """Overwrite all parameters, buffers and statistics with those of a flat vector.

        Raises:
            ValueError: Their number does not fit.
        """
        num_statistics = 0 if self._statistics is None else self._statistics.numel()
        weights = self._weights()
        sizes = [tensor.numel() for tensor in weights]
        expected = sum(sizes) + num_statistics
        if len(values) != expected:
            raise ValueError(f"{len(values)} weights do not fit a policy of {expected}")
        # Copied, so that the tensors stay where they are: kernels rely on how they are aligned.
        with torch.no_grad():
            vectors = torch.split(torch.tensor(values[: sum(sizes)]), sizes)
            for tensor, vector in zip(weights, vectors, strict=True):
                tensor.copy_(vector.view_as(tensor))
        if num_statistics:
            self.load_statistics(values[-num_statistics:])

    def load_statistics(self, values: NDArray[np.float32]) -> None:
        """Normalise with these means and inverse deviations, [2 * vector_size], from now on."""
        self._statistics = torch.tensor(values).reshape(2, -1)

    def _weights(self) -> list[Tensor]:
        """Return parameters and buffers: a user's module may initialise a buffer at random."""
        buffers = [buffer for buffer in self.buffers() if buffer.is_floating_point()]
        return [*self.parameters(), *buffers]

    def with_log_stds(self, outputs: Tensor) -> Tensor:
        """Return the parameters of distributions from the outputs of the body."""
        if self.log_stds is None:
            return outputs
        return torch.cat([outputs, self.log_stds.expand(outputs.shape[0], -1)], dim=1)


def loaded_network(architecture: PolicyArchitecture, weights: Weights) -> PolicyNetwork:
    """Return the network with these weights, for access by name.

    Raises:
        ValueError: Their number does not fit the architecture.
    """
    network = PolicyNetwork(architecture, torch.Generator())
    network.load_flat_weights(weights.values)
    return network


class TorchPolicy(Policy):
    """The learner's network for acting: forward passes in one Torch thread; NumPy samples."""

    def __init__(self, architecture: PolicyArchitecture) -> None:
        super().__init__(architecture)
        torch.set_num_threads(1)
        self._network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
        self._states = torch.zeros(0, self._network.state_size)

    def load(self, weights: Weights) -> None:
        self._network.load_flat_weights(weights.values)
        self.version = weights.version

    def begin(self, num_rows: int) -> None:
        self._states = torch.zeros(num_rows, self._network.state_size)

    def begin_row(self, row: int) -> None:
        self._states[row] = 0.0

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self._states = self._states[torch.from_numpy(rows)]

    @property
    def states(self) -> NDArray[np.float32]:
        return self._states.numpy().copy()

    def remember(self, states: NDArray[np.float32]) -> None:
        self._states = torch.tensor(states)

    def parameters(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        with torch.no_grad():
            if self._network.state_size:
                parameters, self._states = self._network.step(observations, self._states)
            else:
                parameters = self._network(observations)
        return parameters.numpy()
