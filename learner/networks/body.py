"""The body of a policy network: what lies between observation and outputs, by its kind."""

import torch
from torch import Tensor, nn

from reinforce.learner.networks.layers import Parts, dense_layers
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.spaces import VECTOR


class MLPBody(nn.Module):
    """Fully connected layers over the vector and all pixels, divided by 255."""

    def __init__(
        self, architecture: PolicyArchitecture, num_outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (architecture.observation.flat_size, *architecture.hidden_sizes)
        self.layers = dense_layers(sizes, architecture.activation, generator, num_outputs)

    def forward(self, parts: Parts) -> Tensor:
        """Return [n, num_outputs]."""
        flat = [
            part.flatten(start_dim=1) if name == VECTOR else part.flatten(start_dim=1) / 255
            for name, part in parts.items()
        ]
        outputs: Tensor = self.layers(flat[0] if len(flat) == 1 else torch.cat(flat, dim=1))
        return outputs


def make_body(
    architecture: PolicyArchitecture, num_outputs: int, generator: torch.Generator
) -> nn.Module:
    """Return the network of the architecture's kind with this many outputs.

    Raises:
        UnsuitablePolicyError: The user's class cannot be used.
    """
    if architecture.kind == "mlp":
        return MLPBody(architecture, num_outputs, generator)
    if architecture.kind == "cnn":
        from reinforce.learner.networks.cnn import ConvolutionalBody

        return ConvolutionalBody(architecture, num_outputs, generator)
    if architecture.kind == "gru":
        from reinforce.learner.networks.gru import GRUBody

        return GRUBody(architecture, num_outputs, generator)
    from reinforce.learner.networks.custom import make_custom_body

    return make_custom_body(architecture, num_outputs, generator)
