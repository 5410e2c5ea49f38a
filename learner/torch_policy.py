"""The policy as workers act with it where it needs Torch: images, memory, the user's class."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.architecture import PolicyArchitecture
from learner.distributions import Masks, make_distribution
from learner.network import PolicyNetwork
from learner.weights import Weights


class TorchPolicy:
    """The learner's network, used forwards only, one thread of Torch; NumPy samples."""

    def __init__(self, architecture: PolicyArchitecture) -> None:
        torch.set_num_threads(1)
        self._network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
        self._distribution = make_distribution(architecture.action)
        self._states = torch.zeros(0, self._network.state_size)
        self.version = -1

    def load(self, weights: Weights) -> None:
        """Act with these weights from now on.

        Raises:
            ValueError: Their number does not fit the architecture.
        """
        self._network.load_flat_weights(weights.values)
        self.version = weights.version

    def begin(self, num_rows: int) -> None:
        """Begin episodes, with states of zeros."""
        self._states = torch.zeros(num_rows, self._network.state_size)

    def begin_row(self, row: int) -> None:
        """Begin another episode in a row."""
        self._states[row] = 0.0

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Go on with these rows alone."""
        self._states = self._states[torch.from_numpy(rows)]

    def parameters(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return [n, ...] parameters of the distribution; a recurrent policy moves one step on."""
        with torch.no_grad():
            if self._network.state_size:
                parameters, self._states = self._network.step(observations, self._states)
            else:
                parameters = self._network(observations)
        return parameters.numpy()

    def act(
        self, observations: NDArray[Any], uniforms: NDArray[np.float64], masks: Masks = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Sample one action per observation; return the parameters, too."""
        parameters = self.parameters(observations)
        return self._distribution.sample(parameters, uniforms, masks), parameters

    def act_greedily(self, observations: NDArray[Any], masks: Masks = None) -> NDArray[Any]:
        """Return the most probable choices, and the means of Gaussians."""
        return self._distribution.mode(self.parameters(observations), masks)
