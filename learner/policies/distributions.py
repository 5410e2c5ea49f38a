"""Distributions over actions as workers sample them, in plain NumPy.

``learner.networks.torch_distributions`` is the same in Torch, differentiable; tests hold the two
equal to each other and to ``torch.distributions``. All chance comes in as uniform numbers.

Sampling and its log-probabilities are apart: a step needs an action at once, and the price of a
step is its number of calls; the log-probabilities of thousands of steps cost no more calls than
those of one (docs/decisions/0071-log-probabilities-in-blocks.md).
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import ActionComponent, ActionLayout, components_of

IMPOSSIBLE = np.float32(-1e9)
"""Logit of a choice that a mask forbids: its probability is exactly 0, and 0 times it is 0."""

_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)

Masks = NDArray[np.bool_] | None
"""[n, num_choices] which choices are allowed, or None for all."""


class Distribution(Protocol):
    """A family of distributions over actions, one member per row of parameters."""

    def sample(
        self, parameters: NDArray[np.float32], uniforms: NDArray[np.float64], masks: Masks = None
    ) -> NDArray[Any]:
        """Return [n, ...] actions."""

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks = None
    ) -> NDArray[np.float32]:
        """Return [n] log-probabilities (nats) of [n, ...] actions."""

    def mode(self, parameters: NDArray[np.float32], masks: Masks = None) -> NDArray[Any]:
        """Return [n, ...] the greedy actions."""


def make_distribution(layout: ActionLayout) -> Distribution:
    """Return the distribution over the actions of a layout."""
    return Categorical() if layout.is_one_choice else Joint(layout)


class Categorical:
    """One choice among several."""

    def sample(
        self, parameters: NDArray[np.float32], uniforms: NDArray[np.float64], masks: Masks = None
    ) -> NDArray[np.int64]:
        """Invert the cumulative distribution at [n] uniforms in [0, 1)."""
        cumulative = row_cumulated(np.exp(_shifted(parameters, masks)))
        return row_counts(cumulative, uniforms * cumulative[:, -1])

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks = None
    ) -> NDArray[np.float32]:
        """Return the logarithm of the softmax at [n] actions."""
        shifted = _shifted(parameters, masks)
        # Summed one after the other, as the sampler does it.
        total = row_cumulated(np.exp(shifted))[:, -1]
        log_probs: NDArray[np.float32] = shifted[np.arange(len(actions)), actions] - np.log(total)
        return log_probs

    def mode(self, parameters: NDArray[np.float32], masks: Masks = None) -> NDArray[np.int64]:
        """Return [n] the most probable choice, the first one of equals."""
        logits = parameters if masks is None else np.where(masks, parameters, IMPOSSIBLE)
        choices: NDArray[np.int64] = logits.argmax(axis=1)
        return choices


def _shifted(logits: NDArray[np.float32], masks: Masks) -> NDArray[np.float32]:
    """Return [n, k] logits, masked, with the largest of each row at 0: their exp is finite.

    Not in place: a recurrent policy may share the memory of its logits with its state.
    """
    if masks is not None:
        logits = np.where(masks, logits, IMPOSSIBLE)
    shifted: NDArray[np.float32] = logits - row_maxima(logits)
    return shifted


class Joint:
    """Independent parts side by side: their log-probabilities add up."""

    def __init__(self, layout: ActionLayout) -> None:
        self._layout = layout
        kinds = {"categorical": _CategoricalPart, "binary": _BinaryPart, "gaussian": _GaussianPart}
        self._parts = [kinds[part.leaf.kind](part) for part in components_of(layout)]

    def sample(
        self, parameters: NDArray[np.float32], uniforms: NDArray[np.float64], masks: Masks = None
    ) -> NDArray[Any]:
        """Sample every part from its own columns of [n, num_uniforms] uniforms in [0, 1)."""
        actions = self._layout.empty(len(parameters))
        for part in self._parts:
            part.sample(parameters, uniforms, masks, actions)
        return actions

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks = None
    ) -> NDArray[np.float32]:
        """Return the sums of the parts' log-probabilities, added up in float64."""
        log_probs = np.zeros(len(parameters))
        for part in self._parts:
            log_probs += part.log_prob(parameters, actions, masks)
        return log_probs.astype(np.float32)

    def mode(self, parameters: NDArray[np.float32], masks: Masks = None) -> NDArray[Any]:
        """Return the most probable choices; of a Gaussian its mean, which tanh makes a median."""
        actions = self._layout.empty(len(parameters))
        for part in self._parts:
            part.write_mode(parameters, masks, actions)
        return actions


class _Part:
    """One component of a joint distribution, which reads and writes its own columns."""

    def __init__(self, component: ActionComponent) -> None:
        self._component = component

    def sample(
        self,
        parameters: NDArray[np.float32],
        uniforms: NDArray[np.float64],
        masks: Masks,
        actions: NDArray[Any],
    ) -> None:
        """Write samples to their columns of the actions."""
        raise NotImplementedError

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks
    ) -> NDArray[Any]:
        """Return [n] log-probabilities of what stands in the columns of the actions."""
        raise NotImplementedError

    def write_mode(
        self, parameters: NDArray[np.float32], masks: Masks, actions: NDArray[Any]
    ) -> None:
        """Write the greedy values to their columns of the actions."""
        raise NotImplementedError


class _CategoricalPart(_Part):
    _categorical = Categorical()

    def sample(
        self,
        parameters: NDArray[np.float32],
        uniforms: NDArray[np.float64],
        masks: Masks,
        actions: NDArray[Any],
    ) -> None:
        columns, draws = self._component.outputs, uniforms[:, self._component.uniforms.start]
        allowed = None if masks is None else masks[:, columns]
        choices = self._categorical.sample(parameters[:, columns], draws, allowed)
        actions[:, self._component.actions.start] = choices

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks
    ) -> NDArray[Any]:
        columns = self._component.outputs
        choices = actions[:, self._component.actions.start].astype(np.int64)
        allowed = None if masks is None else masks[:, columns]
        return self._categorical.log_prob(parameters[:, columns], choices, allowed)

    def write_mode(
        self, parameters: NDArray[np.float32], masks: Masks, actions: NDArray[Any]
    ) -> None:
        columns = self._component.outputs
        allowed = None if masks is None else masks[:, columns]
        choices = self._categorical.mode(parameters[:, columns], allowed)
        actions[:, self._component.actions.start] = choices


class _BinaryPart(_Part):
    def sample(
        self,
        parameters: NDArray[np.float32],
        uniforms: NDArray[np.float64],
        masks: Masks,
        actions: NDArray[Any],
    ) -> None:
        logits = parameters[:, self._component.outputs].astype(np.float64)
        values = uniforms[:, self._component.uniforms] < 1.0 / (1.0 + np.exp(-logits))
        actions[:, self._component.actions] = values

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks
    ) -> NDArray[Any]:
        logits = parameters[:, self._component.outputs].astype(np.float64)
        values = actions[:, self._component.actions].astype(np.bool_)
        # log sigmoid of the logit of what was drawn
        log_probs: NDArray[Any] = -np.logaddexp(0.0, np.where(values, -logits, logits)).sum(axis=1)
        return log_probs

    def write_mode(
        self, parameters: NDArray[np.float32], masks: Masks, actions: NDArray[Any]
    ) -> None:
        actions[:, self._component.actions] = parameters[:, self._component.outputs] > 0


class _GaussianPart(_Part):
    def __init__(self, component: ActionComponent) -> None:
        super().__init__(component)
        leaf = component.leaf
        self._squashed = np.array(leaf.is_squashed)
        bounds = zip(leaf.low, leaf.high, leaf.is_squashed, strict=True)
        scales = [0.5 * (high - low) if squashed else 1.0 for low, high, squashed in bounds]
        self._log_scale = float(np.log(scales).sum())

    def sample(
        self,
        parameters: NDArray[np.float32],
        uniforms: NDArray[np.float64],
        masks: Masks,
        actions: NDArray[Any],
    ) -> None:
        component = self._component
        means, log_stds = parameters[:, component.outputs], parameters[:, component.log_stds]
        noise = _normal(uniforms[:, component.uniforms])[:, : means.shape[1]]
        actions[:, component.actions] = means + np.exp(log_stds) * noise

    def log_prob(
        self, parameters: NDArray[np.float32], actions: NDArray[Any], masks: Masks
    ) -> NDArray[Any]:
        component = self._component
        means, log_stds = parameters[:, component.outputs], parameters[:, component.log_stds]
        # Of the value as it is recorded, rounded to float32: the learner knows no other.
        values = actions[:, component.actions].astype(np.float64)
        errors = (values - means) * np.exp(-log_stds)
        log_probs = -0.5 * errors**2 - log_stds - _HALF_LOG_TAU
        if self._squashed.any():
            log_probs = log_probs - self._squashed * log_tanh_slope(values)
        result: NDArray[Any] = log_probs.sum(axis=1) - self._log_scale
        return result

    def write_mode(
        self, parameters: NDArray[np.float32], masks: Masks, actions: NDArray[Any]
    ) -> None:
        actions[:, self._component.actions] = parameters[:, self._component.outputs]


def log_tanh_slope(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log(1 - tanh(u)^2)`` without cancellation where tanh is near 1."""
    slope: NDArray[np.float64] = 2.0 * (np.log(2.0) - values - np.logaddexp(0.0, -2.0 * values))
    return slope


def _normal(uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [n, m] standard normal numbers from uniform ones in [0, 1), m even.

    Source: Box & Muller (1958), Annals of Mathematical Statistics 29.
    """
    half = uniforms.shape[1] // 2
    radius = np.sqrt(-2.0 * np.log1p(-uniforms[:, :half]))
    angle = 2.0 * np.pi * uniforms[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


_COLUMNS_FROM = 16
"""Rows per square of their length from which columns are faster (timed with 2, 4 and 18 columns,
docs/performance.md)."""


def row_maxima(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, 1] the largest number of each row of [n, k]."""
    if not _go_by_columns(rows):
        largest: NDArray[np.float32] = rows.max(axis=1, keepdims=True)
        return largest
    maxima = rows[:, 0].copy()
    for column in rows.T[1:]:
        np.maximum(maxima, column, out=maxima)
    return maxima[:, None]


def row_cumulated(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, k] the sums of each row up to each of its numbers, added from the left."""
    if not _go_by_columns(rows):
        return rows.cumsum(axis=1)
    sums = rows.copy()
    for before, column in zip(sums.T, sums.T[1:], strict=False):
        np.add(column, before, out=column)
    return sums


def row_counts(rows: NDArray[Any], limits: NDArray[Any]) -> NDArray[np.int64]:
    """Return [n] how many numbers of each row of [n, k] are at most the row's limit."""
    if not _go_by_columns(rows):
        counts: NDArray[np.int64] = (rows <= limits[:, None]).sum(axis=1)
        return counts
    counts = np.zeros(len(rows), np.int64)
    for column in rows.T:
        counts += column <= limits
    return counts


def _go_by_columns(rows: NDArray[Any]) -> bool:
    num_rows, length = rows.shape
    return bool(num_rows >= _COLUMNS_FROM * length**2)
