"""Which convolutions an image gets, and how many features come out; plain numbers without Torch."""

from math import ceil, prod
from typing import NamedTuple


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
"""For smaller images, which Nature's first kernel would swallow whole."""

_SMALLEST_FOR_NATURE = 36
_LONGEST_SIDE = 8
"""Of what leaves the layers for smaller images; halvings are added until it is so."""


def image_size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image in any of the usual orders.

    (h, w) is gray; a stack of k images, (k, h, w, c) or (k, c, h, w), is one whose channels are put
    side by side.
    """
    if len(shape) == 2:
        return 1, *shape
    *stack, first, middle, last = shape
    if channels_are_last(shape):
        return prod(stack) * last, first, middle
    return prod(stack) * first, middle, last


def channels_are_last(shape: tuple[int, ...]) -> bool:
    """Return whether it is (..., h, w, c), not (..., c, h, w): the channels are the fewer ones."""
    return shape[-1] <= shape[-3]


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


def num_features(shape: tuple[int, ...]) -> int:
    """Return how many numbers the convolutions make of an image of this shape."""
    _, height, width = image_size(shape)
    layers = image_layers(height, width)
    for _, kernel, stride, padding in layers:
        height = (height + 2 * padding - kernel) // stride[0] + 1
        width = (width + 2 * padding - kernel) // stride[1] + 1
    return layers[-1].filters * height * width
