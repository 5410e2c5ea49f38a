"""The policy as workers act with it where it needs Torch: images, memory, the user's class."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.architecture import PolicyArchitecture
from learner.network import PolicyNetwork
from learner.policy import Policy
from learner.weights import Weights


class TorchPolicy(Policy):
    """The learner's network, used forwards only, one thread of Torch; NumPy samples."""

    def __init__(self, architecture: PolicyArchitecture) -> None:
        super().__init__(architecture)
        torch.set_num_threads(1)
        self._network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
        self._states = torch.zeros(0, self._network.state_size)

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
