"""The policy for acting; fully connected ones in plain NumPy, without Torch.

A rollout step passes a handful of observations to a small network. At that size the cost is the
number of calls, not the arithmetic, and NumPy's calls are the cheapest
(docs/decisions/0003-numpy-inference.md). ``learner.networks.network`` is the same function in
differentiable Torch; a test compares the two. The other kinds act with that network itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.learning import Activation
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import Masks, make_distribution, masked
from reinforce.learner.policies.normalizer import OBSERVATION_LIMIT
from reinforce.learner.policies.weights import Weights

_ACTIVATIONS: dict[Activation, Callable[..., NDArray[np.float32]]] = {
    "tanh": lambda x: np.tanh(x, out=x),
    "relu": lambda x: np.maximum(x, 0.0, out=x),
}

_Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weights [in, out] and biases [n, out] of each layer."""

_Statistics = list[NDArray[np.float32]] | None
"""Means and inverse deviations, both [n, size]."""

_MOST_REPEATED = 4096
"""Most rows for which repeated biases and statistics are kept; more save no time."""


class Policy(ABC):
    """A policy with one version of the weights. Not differentiable, and draws no random numbers.

    Every row of a call is an episode. A recurrent policy keeps one state for each row of the last
    call. It overrides ``begin``, ``begin_row`` and ``keep``, which report changes of the rows and
    do nothing in other policies.
    """

    def __init__(self, architecture: PolicyArchitecture) -> None:
        self._distribution = make_distribution(architecture.action)
        self.version = -1

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Act with these weights from now on; ValueError if they do not fit."""

    def begin(self, num_rows: int) -> None:  # noqa: B027
        """Begin ``num_rows`` episodes."""

    def begin_row(self, row: int) -> None:  # noqa: B027
        """Begin another episode in a row."""

    def keep(self, rows: NDArray[np.bool_]) -> None:  # noqa: B027
        """Continue with these rows only."""

    @property
    def states(self) -> NDArray[np.float32]:
        """[n, state_size] memory of each row; without a memory, state_size is 0."""
        return np.zeros((0, 0), np.float32)

    def remember(self, states: NDArray[np.float32]) -> None:  # noqa: B027
        """Continue from [n, state_size] states that ``states`` returned."""

    @abstractmethod
    def parameters(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return [n, num_outputs + num_gaussians] parameters of the distribution over actions.

        For a lone Discrete action these are the [n, num_actions] logits. A recurrent policy
        advances one step.
        """

    def noise(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the random numbers for n actions, from uniform numbers in [0, 1).

        Both are [n, num_uniforms], or [n] for a lone Discrete action.
        """
        return self._distribution.noise(uniforms)

    def act(
        self, observations: NDArray[Any], noise: NDArray[np.float64], masks: Masks = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Sample one action per observation.

        Args:
            observations: [n, ...] rows of ``ObservationLayout``.
            noise: The only source of randomness, from ``noise``.
            masks: [n, num_choices] which choices are allowed, or None for all.

        Returns:
            actions: [n, ...] rows of ``ActionLayout``, and the masked parameters that they were
                drawn from, [n, num_outputs + num_gaussians], for ``Distribution.log_prob``.
        """
        parameters = masked(self.parameters(observations), masks)
        return self._distribution.sample(parameters, noise), parameters

    def act_greedily(self, observations: NDArray[Any], masks: Masks = None) -> NDArray[Any]:
        """Return [n, ...] the most probable choices, and the means of Gaussians."""
        return self._distribution.mode(masked(self.parameters(observations), masks))


class MLPPolicy(Policy):
    """A multilayer perceptron in NumPy."""

    def __init__(self, architecture: PolicyArchitecture) -> None:
        super().__init__(architecture)
        self._architecture = architecture
        self._layout = architecture.observation
        self._activation = _ACTIVATIONS[architecture.activation]
        self._repeated: tuple[int, _Layers, _Statistics] = 0, [], None
        self._log_stds: NDArray[np.float32] | None = None

    def load(self, weights: Weights) -> None:
        if len(weights.values) != self._architecture.num_parameters:
            raise ValueError(
                f"{len(weights.values)} weights do not fit a policy of "
                f"{self._architecture.num_parameters}"
            )
        arrays, start = [], 0
        for shape in self._architecture.parameter_shapes:
            arrays.append(weights.values[start : start + prod(shape)].reshape(shape))
            start += prod(shape)
        if self._architecture.action.num_gaussians:
            self._log_stds = arrays.pop(0)
        statistics: _Statistics = None
        if self._architecture.normalize_observations:
            inverse_deviations, means = arrays.pop(), arrays.pop()
            statistics = [means[None], inverse_deviations[None]]
        # Stored as [in, out], contiguous: a row vector of observations multiplies from the left.
        layers = [
            (np.ascontiguousarray(weight.T), bias[None].copy())
            for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)
        ]
        self._repeated = 1, layers, statistics
        self.version = weights.version

    def parameters(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        hidden = self._layout.flat(observations)
        layers, statistics = self._for_rows(len(hidden))
        if statistics is not None:
            hidden = self._normalized(hidden, *statistics)
        *hidden_layers, (last_weight, last_bias) = layers
        for weight, bias in hidden_layers:
            hidden = hidden.dot(weight)  # the bits of `@`, in half the time for a few rows
            hidden += bias
            hidden = self._activation(hidden)
        outputs: NDArray[np.float32] = hidden.dot(last_weight)
        outputs += last_bias
        if self._log_stds is None:
            return outputs
        num_outputs = outputs.shape[1]
        parameters = np.empty((len(outputs), num_outputs + len(self._log_stds)), np.float32)
        parameters[:, :num_outputs] = outputs
        parameters[:, num_outputs:] = self._log_stds
        return parameters

    def _for_rows(self, num_rows: int) -> tuple[_Layers, _Statistics]:
        """Return weights, biases and statistics; the latter two once per row, or once for all rows.

        Adding equal shapes is twice as fast, so they are repeated and kept for the next call.
        """
        num_rows = num_rows if 1 <= num_rows <= _MOST_REPEATED else 1
        known_rows, layers, statistics = self._repeated  # once: several threads may serve a policy
        if num_rows != known_rows:
            layers = [(weight, bias[:1].repeat(num_rows, 0)) for weight, bias in layers]
            statistics = statistics and [each[:1].repeat(num_rows, 0) for each in statistics]
            self._repeated = num_rows, layers, statistics
        return layers, statistics

    @staticmethod
    def _normalized(
        flat: NDArray[np.float32], means: NDArray[np.float32], inverses: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        size = means.shape[1]
        vector = flat[:, :size] - means
        vector *= inverses
        np.maximum(vector, -OBSERVATION_LIMIT, out=vector)  # np.clip takes four times as long
        np.minimum(vector, OBSERVATION_LIMIT, out=vector)
        return vector if size == flat.shape[1] else np.concatenate([vector, flat[:, size:]], axis=1)
