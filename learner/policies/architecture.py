"""A policy without its weights: observations, actions, and the network between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from math import ceil, prod
from typing import Any, NamedTuple

from reinforce.configs.learning import Activation, Channels
from reinforce.configs.secret_names import without_secrets
from reinforce.learner.policies.spaces import (
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
)


@dataclass(frozen=True)
class PolicyArchitecture:
    """How a policy maps an observation's leaves to the parameters of a distribution over actions.

    Attributes:
        observation: Layout of the observations.
        action: Layout of the actions.
        hidden_sizes: Units of each hidden layer; empty for a linear policy. In ``gru``, the last
            one is its memory.
        activation: Applied after each hidden layer.
        kind: ``mlp``, ``cnn``, ``gru``, or the user's ``module:Class``.
        normalize_observations: Whether the weights include observation statistics.
        arguments: Keyword arguments of the user's class.
        channels: Where the channels of images are; None if the shapes decide.
    """

    observation: ObservationLayout
    action: ActionLayout
    hidden_sizes: tuple[int, ...]
    activation: Activation
    kind: str = "mlp"
    normalize_observations: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    channels: Channels | None = None

    @classmethod
    def mlp(
        cls,
        observation_size: int,
        hidden_sizes: tuple[int, ...],
        activation: Activation,
        num_actions: int,
    ) -> "PolicyArchitecture":
        """Return a fully connected policy from a flat observation to one of several actions."""
        numbers = ObservationLeaf((), "numbers", (observation_size,))
        choice = ActionLeaf((), "categorical", (), "int64", counts=(num_actions,), starts=(0,))
        return cls(ObservationLayout((numbers,)), ActionLayout((choice,)), hidden_sizes, activation)

    @property
    def num_statistics(self) -> int:
        """Numbers at the end of the weights that no gradient moves."""
        return 2 * self.observation.vector_size if self.normalize_observations else 0

    @property
    def num_features(self) -> int:
        """Inputs of the first fully connected layer."""
        if self.kind == "mlp":
            return self.observation.flat_size
        features = [
            num_features(leaf.shape, self.channels) for leaf in self.observation.pixel_leaves
        ]
        return self.observation.vector_size + sum(features)

    @property
    def first_layer(self) -> tuple[int, int]:
        """(inputs, outputs) of the first layer after convolutions, by far the largest."""
        is_memory = self.kind == "gru" and len(self.hidden_sizes) == 1
        gates = 3 if is_memory else 1  # of a memory, each with weights of its own
        return self.num_features, gates * (*self.hidden_sizes, self.action.num_outputs)[0]

    @property
    def parameter_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of ``mlp`` in the order of the flat vector.

        Log standard deviations, if there are any; weight [out, in] and bias [out] of each layer;
        mean and inverse deviation of the observations, if they are normalised.
        """
        sizes = (self.num_features, *self.hidden_sizes, self.action.num_outputs)
        layers = [
            shape
            for inputs, outputs in pairwise(sizes)
            for shape in ((outputs, inputs), (outputs,))
        ]
        deviations = [(self.action.num_gaussians,)] if self.action.num_gaussians else []
        statistics = [(self.observation.vector_size,)] * 2 if self.normalize_observations else []
        return [*deviations, *layers, *statistics]

    @property
    def num_parameters(self) -> int:
        """Length of the flat vector of weights, for all kinds but the user's own class."""
        num = sum(prod(shape) for shape in self.parameter_shapes)
        if self.kind != "mlp":
            leaves = self.observation.pixel_leaves
            num += sum(num_filter_weights(leaf.shape, self.channels) for leaf in leaves)
        if self.kind == "gru":  # three gates, each of the inputs and of the memory, with two biases
            *_, inputs, memory = (self.num_features, *self.hidden_sizes)
            num += 3 * memory * (inputs + memory + 2) - memory * (inputs + 1)
        return num


class ImageLayer(NamedTuple):
    """One convolution: number of filters, and kernel, stride and padding in (height, width)."""

    filters: int
    kernel: int
    stride: tuple[int, int]
    padding: int


_NATURE = (
    ImageLayer(32, 8, (4, 4), 0),
    ImageLayer(64, 4, (2, 2), 0),
    ImageLayer(64, 3, (1, 1), 0),
)
"""For images of 36 pixels or more (Mnih et al. 2015, Nature 518)."""

_SMALL: tuple[ImageLayer, ...] = (ImageLayer(32, 3, (1, 1), 1), ImageLayer(64, 3, (1, 1), 1))
"""For smaller images, which Nature's first kernel would cover entirely."""

_SMALLEST_FOR_NATURE = 36
_NUM_COLOURS = 4
"""Most channels of a colour image: a larger dimension may be a side."""

_LONGEST_SIDE = 8
"""Longest side after the layers for smaller images; halving layers are added until it fits."""


def image_size(shape: tuple[int, ...], channels: Channels | None) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image in any of the usual orders.

    (h, w) is gray; a stack of k images, (k, h, w, c) or (k, c, h, w), is one whose channels are put
    side by side. ValueError if neither ``channels`` nor the shape says where the channels are.
    """
    if len(shape) == 2:
        return 1, *shape
    *stack, first, middle, last = shape
    match channels_are_last(shape, channels):
        case True:
            return prod(stack) * last, first, middle
        case False:
            return prod(stack) * first, middle, last
    raise ValueError(f"shape {shape} does not show where the channels are; set policy.channels")


def channels_are_last(shape: tuple[int, ...], channels: Channels | None) -> bool | None:
    """Return whether an image is (..., h, w, c), not (..., c, h, w); None if it is ambiguous.

    Without ``channels``, two equal sides are height and width; if all differ, the smaller end is
    the channels if it is at most four.
    """
    if len(shape) == 2:
        return False
    if channels:
        return channels == "last"
    first, middle, last = shape[-3:]
    if (first == middle) != (middle == last):
        return first == middle
    if first != last and min(first, last) <= _NUM_COLOURS:
        return last < first
    return None


def image_layers(height: int, width: int) -> tuple[ImageLayer, ...]:
    """Return the convolutions for images of this size."""
    if min(height, width) >= _SMALLEST_FOR_NATURE:
        return _NATURE
    layers = _SMALL
    while max(height, width) > _LONGEST_SIDE:
        stride = tuple(2 if side > _LONGEST_SIDE else 1 for side in (height, width))
        layers = (*layers, ImageLayer(64, 3, (stride[0], stride[1]), 1))
        height, width = ceil(height / stride[0]), ceil(width / stride[1])
    return layers


def num_features(shape: tuple[int, ...], channels: Channels | None) -> int:
    """Return the number of outputs of the convolutions for an image of this shape."""
    _, height, width = image_size(shape, channels)
    layers = image_layers(height, width)
    for _, kernel, stride, padding in layers:
        height = (height + 2 * padding - kernel) // stride[0] + 1
        width = (width + 2 * padding - kernel) // stride[1] + 1
    return layers[-1].filters * height * width


def num_filter_weights(shape: tuple[int, ...], channels: Channels | None) -> int:
    """Return the number of weights and biases of the convolutions for an image of this shape."""
    num_channels, height, width = image_size(shape, channels)
    num = 0
    for filters, kernel, _, _ in image_layers(height, width):
        num += filters * (num_channels * kernel * kernel + 1)
        num_channels = filters
    return num


def differences(theirs: PolicyArchitecture, ours: PolicyArchitecture) -> str:
    """Return a line for each part in which two policies differ; for ``mlp``, each tensor.

    Secrets are hidden.
    """
    lines = [
        f"{name}: {without_secrets(one)} there, {without_secrets(other)} here"
        for name, one, other in (
            (name, getattr(theirs, name), getattr(ours, name)) for name in vars(theirs)
        )
        if one != other
    ]
    if {theirs.kind, ours.kind} == {"mlp"}:
        pairs = zip_longest(theirs.parameter_shapes, ours.parameter_shapes)
        lines += [
            f"tensor {index}: {list(one or ()) or 'none'} there, {list(other or ()) or 'none'} here"
            for index, (one, other) in enumerate(pairs)
            if one != other
        ]
    return "".join(f"\n  {line}" for line in lines)
