"""The policy as workers act with it: a multilayer perceptron in plain NumPy, without Torch.

A rollout step hands a handful of observations to a small network. At that size the price is the
number of calls, not the arithmetic, and NumPy's calls are the cheapest
(docs/decisions/0003-numpy-inference.md). ``learner.network`` is the same function in Torch,
differentiable; a test holds the two equal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.learning import Activation
from learner.weights import Weights

_ACTIVATIONS: dict[Activation, Callable[..., NDArray[np.float32]]] = {
    "tanh": lambda x: np.tanh(x, out=x),
    "relu": lambda x: np.maximum(x, 0.0, out=x),
}


@dataclass(frozen=True)
class MLPArchitecture:
    """Sizes of a fully connected network from flat observations to action logits.

    Attributes:
        observation_size: Numbers in one flat observation.
        hidden_sizes: Units of each hidden layer; empty for a linear policy.
        activation: Applied after each hidden layer.
        num_actions: Number of discrete actions, one logit each.
    """

    observation_size: int
    hidden_sizes: tuple[int, ...]
    activation: Activation
    num_actions: int

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer, from the observation to the logits."""
        return list(pairwise((self.observation_size, *self.hidden_sizes, self.num_actions)))

    @property
    def parameter_shapes(self) -> list[tuple[int, ...]]:
        """Shapes in the order of the flat vector: weight [out, in] and bias [out] of each layer."""
        return [
            shape
            for inputs, outputs in self.layer_sizes
            for shape in ((outputs, inputs), (outputs,))
        ]

    @property
    def num_parameters(self) -> int:
        """Length of the flat vector of weights."""
        return sum(prod(shape) for shape in self.parameter_shapes)


class MLPPolicy:
    """Acts with one version of the weights. Not differentiable, and it draws no random numbers."""

    def __init__(self, architecture: MLPArchitecture) -> None:
        self._architecture = architecture
        self._activation = _ACTIVATIONS[architecture.activation]
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.version = -1

    def load(self, weights: Weights) -> None:
        """Act with these weights from now on.

        Raises:
            ValueError: Their number does not fit the architecture.
        """
        if len(weights.values) != self._architecture.num_parameters:
            raise ValueError(
                f"{len(weights.values)} weights do not fit {self._architecture}, which has "
                f"{self._architecture.num_parameters}"
            )
        arrays, start = [], 0
        for shape in self._architecture.parameter_shapes:
            arrays.append(weights.values[start : start + prod(shape)].reshape(shape))
            start += prod(shape)
        # Stored as [in, out], contiguous: a row vector of observations multiplies from the left.
        self._layers = [
            (np.ascontiguousarray(weight.T), bias.copy())
            for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)
        ]
        self.version = weights.version

    def logits(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return [n, num_actions] unnormalised log-probabilities for [n, ...] observations."""
        hidden = observations.reshape(len(observations), -1)
        *hidden_layers, (last_weight, last_bias) = self._layers
        for weight, bias in hidden_layers:
            hidden = hidden @ weight
            hidden += bias
            hidden = self._activation(hidden)
        logits: NDArray[np.float32] = hidden @ last_weight
        logits += last_bias
        return logits

    def act(
        self, observations: NDArray[Any], uniforms: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Sample one action per observation by inverting the cumulative distribution.

        Args:
            observations: [n, ...] float32.
            uniforms: [n] in [0, 1); the only source of chance.

        Returns:
            actions [n] int64 in [0, num_actions), and their log-probabilities [n] float32 (nats).
        """
        shifted = self.logits(observations)
        shifted -= shifted.max(axis=1, keepdims=True)
        cumulative = np.cumsum(np.exp(shifted), axis=1)
        total = cumulative[:, -1]
        actions = (cumulative <= (uniforms * total)[:, None]).sum(axis=1)
        log_probs = shifted[np.arange(len(actions)), actions] - np.log(total)
        return actions, log_probs

    def act_greedily(self, observations: NDArray[Any]) -> NDArray[np.int64]:
        """Return [n] the most probable action of each observation, the first one of equals."""
        actions: NDArray[np.int64] = self.logits(observations).argmax(axis=1)
        return actions
