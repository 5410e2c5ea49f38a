"""A policy with a memory: a gated recurrent unit, recomputed from the start of each episode.

Workers carry one state per episode from step to step. The learner recomputes whole episodes from
their first step with the current weights, so its log-probabilities never depend on stored states
from older weights.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from reinforce.learner.networks.body import Features
from reinforce.learner.networks.layers import Parts, dense_layers
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import step_indices


class GRUBody(nn.Module):
    """Features, fully connected layers, the unit, and a small last layer.

    The last of the hidden sizes is the memory.
    """

    def __init__(self, architecture: PolicyArchitecture, generator: torch.Generator) -> None:
        super().__init__()
        self.state_size = architecture.hidden_sizes[-1]
        self.features = Features(architecture, generator)
        sizes = (architecture.num_features, *architecture.hidden_sizes)
        self.layers = dense_layers(sizes[:-1], architecture.activation, generator)
        self.gru = nn.GRU(sizes[-2], self.state_size)
        for name, parameter in self.gru.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.chunk(3):
                    nn.init.orthogonal_(gate, 1.0, generator)
        num_outputs = architecture.action.num_outputs
        self.last = dense_layers(sizes[-1:], architecture.activation, generator, num_outputs)

    def forward(self, parts: Parts, episode_lengths: NDArray[np.int64]) -> Tensor:
        """Return [n, num_outputs] for the steps of whole episodes, one after the other."""
        order, inverse, widths = packing(episode_lengths)
        inputs = self.layers(self.features(parts))
        remembered, _ = self.gru(PackedSequence(inputs[order.to(inputs.device)], widths))
        outputs: Tensor = self.last(remembered.data[inverse.to(inputs.device)])
        return outputs

    def step(self, parts: Parts, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return [n, num_outputs] for one step of n episodes, and their new states."""
        inputs = self.layers(self.features(parts))
        _, states = self.gru(inputs.unsqueeze(0), states.unsqueeze(0))
        return self.last(states[0]), states[0]


def packing(episode_lengths: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    """Return how to reorder rows of concatenated episodes by time, without padding.

    Returns:
        order: [n] rows in order of time, longest episode first.
        inverse: [n] the new position of each row.
        widths: [T] episodes that reach each step, never increasing.
    """
    steps = step_indices(episode_lengths)
    lengths = np.repeat(episode_lengths, episode_lengths)
    order = np.lexsort((-lengths, steps))  # stable: equals stay in the order of the batch
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    widths = np.bincount(steps)
    return torch.from_numpy(order), torch.from_numpy(inverse), torch.from_numpy(widths)
