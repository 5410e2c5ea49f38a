"""The policy as the learner differentiates it: the network of ``learner.policy`` in Torch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learner.policy import MLPArchitecture

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
_LAST_LAYER_GAIN = 0.01
"""A near-uniform start: no action is favoured before there is a reason
(Andrychowicz et al. 2021, arXiv:2006.05990, section 3.2)."""


class MLPNetwork(nn.Module):
    """Maps flat observations to action logits.

    Initialised orthogonally (Saxe et al. 2014, arXiv:1312.6120) with gain sqrt(2) for relu and 5/3
    for tanh, biases zero, and a small last layer. Neither dropout nor batch normalisation: the
    recomputed log-probabilities would no longer be those of the policy that acted.
    """

    def __init__(self, architecture: MLPArchitecture, generator: torch.Generator) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for inputs, outputs in architecture.layer_sizes:
            layer = nn.Linear(inputs, outputs)
            is_last = len(modules) == 2 * len(architecture.hidden_sizes)
            gain = _LAST_LAYER_GAIN if is_last else nn.init.calculate_gain(architecture.activation)
            nn.init.orthogonal_(layer.weight, gain, generator)
            nn.init.zeros_(layer.bias)
            modules.append(layer)
            if not is_last:
                modules.append(_ACTIVATIONS[architecture.activation]())
        self.layers = nn.Sequential(*modules)

    def forward(self, observations: Tensor) -> Tensor:
        """Return [n, num_actions] logits for [n, ...] observations."""
        logits: Tensor = self.layers(observations.flatten(start_dim=1))
        return logits

    def flat_weights(self) -> NDArray[np.float32]:
        """Return a copy of all parameters as one vector, in the order of the architecture."""
        return nn.utils.parameters_to_vector(self.parameters()).detach().numpy().copy()

    def load_flat_weights(self, values: NDArray[np.float32]) -> None:
        """Overwrite all parameters with those of a flat vector."""
        nn.utils.vector_to_parameters(torch.tensor(values), self.parameters())
