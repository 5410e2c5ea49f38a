"""Distributions over actions for sampling, in plain NumPy.

``learner.networks.torch_distributions`` is the differentiable version in Torch; tests compare the
two with each other and with ``torch.distributions``. All randomness comes in as uniform numbers.

Sampling and log-probabilities are separate: a step needs only the action, and its cost is the
number of calls; the log-probabilities of thousands of steps take no more calls than those of one
(docs/decisions/0071-log-probabilities-in-blocks.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import (
    ActionComponent,
    ActionLayout,
    ActionLeaf,
    components_of,
)

IMPOSSIBLE = np.float32(-1e9)
"""Logit of a choice that a mask forbids: its probability is exactly 0, and 0 times it is 0."""

_FEW_COLUMNS = 8
"""Up to this many logits, computing is faster on a copy with each column contiguous."""

_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)

Parameters = NDArray[np.float32]
"""[n, ...] parameters of distributions: logits, or means followed by log standard deviations."""

Masks = NDArray[np.bool_] | None
"""[n, num_choices] which choices are allowed, or None for all."""


def masked(parameters: Parameters, masks: Masks) -> Parameters:
    """Return parameters under which only allowed choices are possible.

    Masks exist only if every part of an action is a choice, so their columns are those of the
    logits.
    """
    return parameters if masks is None else np.where(masks, parameters, IMPOSSIBLE)


class Distribution(ABC):
    """A family of distributions over actions, one member per row of parameters."""

    def noise(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the random numbers for n actions, from uniform numbers in [0, 1).

        Both are [n, num_uniforms], or [n] for a single choice. Parameters are not needed, so the
        numbers for many steps can be made at once.
        """
        return uniforms

    @abstractmethod
    def sample(self, parameters: Parameters, noise: NDArray[np.float64]) -> NDArray[Any]:
        """Return [n, ...] actions, determined by ``noise``."""

    @abstractmethod
    def log_prob(self, parameters: Parameters, actions: NDArray[Any]) -> NDArray[Any]:
        """Return [n] log-probabilities (nats) of [n, ...] actions; of Gaussians, log-densities."""

    @abstractmethod
    def mode(self, parameters: Parameters) -> NDArray[Any]:
        """Return [n, ...] the greedy actions: among equally probable choices, the first."""


def make_distribution(layout: ActionLayout) -> Distribution:
    """Return the distribution over the actions of a layout."""
    return Categorical() if layout.is_one_choice else Joint(layout)


class Categorical(Distribution):
    """One choice among several."""

    def sample(self, parameters: Parameters, noise: NDArray[np.float64]) -> NDArray[Any]:
        # The inverse of the cumulative distribution.
        cumulative = np.add.accumulate(np.exp(_shifted(parameters)))
        choices: NDArray[np.int64] = np.add.reduce(cumulative <= noise * cumulative[-1])
        return choices

    def log_prob(self, parameters: Parameters, actions: NDArray[Any]) -> NDArray[Any]:
        shifted = _shifted(parameters)
        # Summed one after the other, as the sampler does it.
        total = np.add.accumulate(np.exp(shifted))[-1]
        chosen = shifted[actions.astype(np.int64, copy=False), np.arange(len(actions))]
        log_probs: NDArray[np.float32] = chosen - np.log(total)
        return log_probs

    def mode(self, parameters: Parameters) -> NDArray[np.int64]:
        choices: NDArray[np.int64] = parameters.argmax(axis=1)
        return choices


def _shifted(logits: Parameters) -> Parameters:
    """Return [k, n] the columns of [n, k] logits, shifted so that the largest of each row is 0.

    Their exp is finite. Not in place: a recurrent policy may share the memory of its logits with
    its state. NumPy is fast along memory, so few columns are stored one after the other.
    """
    columns = logits.T.copy() if logits.shape[1] <= _FEW_COLUMNS else logits.T
    shifted: Parameters = columns - np.maximum.reduce(columns)
    return shifted


class Joint(Distribution):
    """Independent parts side by side, each with its own columns: log-probabilities add up."""

    def __init__(self, layout: ActionLayout) -> None:
        self._layout = layout
        self._parts = [(part, _family(part.leaf)) for part in components_of(layout)]

    def noise(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        noise = np.empty_like(uniforms)
        for columns, family in self._parts:
            noise[:, columns.uniforms] = family.noise(uniforms[:, columns.uniforms])
        return noise

    def sample(self, parameters: Parameters, noise: NDArray[np.float64]) -> NDArray[Any]:
        actions = self._layout.empty(len(parameters))
        for columns, own, family in self._split(parameters):
            actions[:, columns.actions] = family.sample(own, noise[:, columns.uniforms])
        return actions

    def log_prob(self, parameters: Parameters, actions: NDArray[Any]) -> NDArray[Any]:
        log_probs = np.zeros(len(parameters))  # added up in float64
        for columns, own, family in self._split(parameters):
            log_probs += family.log_prob(own, actions[:, columns.actions])
        return log_probs.astype(np.float32)

    def mode(self, parameters: Parameters) -> NDArray[Any]:
        actions = self._layout.empty(len(parameters))
        for columns, own, family in self._split(parameters):
            actions[:, columns.actions] = family.mode(own)
        return actions

    def _split(
        self, parameters: Parameters
    ) -> Iterator[tuple[ActionComponent, Parameters, Distribution]]:
        """Yield each part, its columns of the parameters, and its distribution."""
        for columns, family in self._parts:
            outputs, log_stds = columns.outputs, columns.log_stds
            if outputs.stop == log_stds.start:  # nothing between them, as of a lone Gaussian
                own = parameters[:, outputs.start : log_stds.stop]
            else:
                own = np.concatenate([parameters[:, outputs], parameters[:, log_stds]], axis=1)
            yield columns, own, family


def _family(leaf: ActionLeaf) -> Distribution:
    if leaf.kind == "categorical":
        return Categorical()
    return _Bernoulli() if leaf.kind == "binary" else _Gaussian(leaf)


class _Bernoulli(Distribution):
    """A yes or no per component; the parameters are logits."""

    def sample(self, parameters: Parameters, noise: NDArray[np.float64]) -> NDArray[Any]:
        return noise < 1.0 / (1.0 + np.exp(-parameters.astype(np.float64)))

    def log_prob(self, parameters: Parameters, actions: NDArray[Any]) -> NDArray[Any]:
        logits = parameters.astype(np.float64)
        values = actions.astype(np.bool_)
        # log sigmoid of the logit of what was drawn
        log_probs: NDArray[Any] = -np.logaddexp(0.0, np.where(values, -logits, logits)).sum(axis=1)
        return log_probs

    def mode(self, parameters: Parameters) -> NDArray[np.bool_]:
        return parameters > 0


class _Gaussian(Distribution):
    """Normal numbers, squashed or not; the parameters are means, then log standard deviations."""

    def __init__(self, leaf: ActionLeaf) -> None:
        self._size, self._log_scale = leaf.size, leaf.log_scale
        self._squashed = np.array(leaf.is_squashed)

    def noise(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [n, m] standard normal numbers, m even.

        Source: Box & Muller (1958), Annals of Mathematical Statistics 29.
        """
        half = uniforms.shape[1] // 2
        radius = np.sqrt(-2.0 * np.log1p(-uniforms[:, :half]))
        angle = 2.0 * np.pi * uniforms[:, half:]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def sample(self, parameters: Parameters, noise: NDArray[np.float64]) -> NDArray[Any]:
        means, log_stds = parameters[:, : self._size], parameters[:, self._size :]
        samples: NDArray[np.float64] = means + np.exp(log_stds) * noise[:, : self._size]
        return samples

    def log_prob(self, parameters: Parameters, actions: NDArray[Any]) -> NDArray[Any]:
        means, log_stds = parameters[:, : self._size], parameters[:, self._size :]
        # Of the value as it is recorded, rounded to float32: the learner knows no other.
        values = actions.astype(np.float64)
        errors = (values - means) * np.exp(-log_stds)
        log_probs = -0.5 * errors**2 - log_stds - _HALF_LOG_TAU
        if self._squashed.any():
            log_probs = log_probs - self._squashed * _log_tanh_slope(values)
        result: NDArray[np.float64] = log_probs.sum(axis=1) - self._log_scale
        return result

    def mode(self, parameters: Parameters) -> NDArray[np.float32]:
        return parameters[:, : self._size]  # which tanh makes a median


def _log_tanh_slope(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log(1 - tanh(u)^2)`` without cancellation where tanh is near 1."""
    slope: NDArray[np.float64] = 2.0 * (np.log(2.0) - values - np.logaddexp(0.0, -2.0 * values))
    return slope
