"""Images of any size and order get convolutions that see all of them and stay small."""

from math import prod

import pytest
import torch

from reinforce.learner.networks.body import ImageEncoder, channels_first
from reinforce.learner.policies.architecture import (
    channels_are_last,
    image_layers,
    image_size,
    num_features,
)
from reinforce.learner.policies.spaces import ObservationLeaf

SHAPES = [
    (1, 1),
    (5, 5),
    (8, 8, 3),
    (9, 9),
    (3, 20, 20),
    (35, 35, 3),
    (20, 500, 3),
    (500, 7),
    (36, 36),
    (84, 84),
    (4, 84, 84),
    (4, 84, 84, 3),
    (4, 3, 84, 84),
    (4, 84, 84, 1),
    (210, 160, 3),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_features_is_what_comes_out(shape):
    leaf = ObservationLeaf((), "pixels", shape)
    encoder = ImageEncoder(leaf, "relu", torch.Generator().manual_seed(0), None)
    images = torch.zeros(2, *shape, dtype=torch.uint8)

    assert tuple(channels_first(images, None).shape[1:]) == image_size(shape, None)
    assert encoder(images).shape == (2, num_features(shape, None))


@pytest.mark.parametrize("shape", [s for s in SHAPES if min(image_size(s, None)[1:]) < 36])
def test_images_too_small_for_nature_leave_at_most_eight_by_eight(shape):
    assert num_features(shape, None) <= 64 * 8 * 8


def test_the_network_of_nature_has_its_3136_features():
    """Mnih et al. 2015: 64 maps of 7 x 7 for 84 x 84 pixels."""
    assert num_features((84, 84, 4), None) == 64 * 7 * 7


@pytest.mark.parametrize(
    ("shape", "size", "place"),
    [
        ((5, 7), (1, 5, 7), lambda stack, channel, y, x: (y, x)),
        ((5, 7, 3), (3, 5, 7), lambda stack, channel, y, x: (y, x, channel)),
        ((3, 5, 7), (3, 5, 7), lambda stack, channel, y, x: (channel, y, x)),
        ((4, 5, 7, 3), (12, 5, 7), lambda stack, channel, y, x: (stack, y, x, channel)),
        ((4, 3, 5, 7), (12, 5, 7), lambda stack, channel, y, x: (stack, channel, y, x)),
        ((9, 3, 5, 7), (27, 5, 7), lambda stack, channel, y, x: (stack, channel, y, x)),
    ],
)
def test_the_channels_are_the_fewer_ones_and_those_of_a_stack_lie_side_by_side(shape, size, place):
    image = torch.arange(prod(shape)).reshape(shape)

    (found,) = channels_first(image[None], None)

    assert image_size(shape, None) == size
    assert tuple(found.shape) == size
    for plane in range(size[0]):
        stack, channel = divmod(plane, min(size[0], 3))
        assert found[plane, 4, 2] == image[place(stack, channel, 4, 2)]


@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [
        ((7, 7, 20), None, (20, 7, 7)),
        ((20, 7, 7), None, (20, 7, 7)),
        ((3, 3, 7), None, (7, 3, 3)),  # a board of noughts and crosses, and its planes
        ((5, 7, 4), None, (4, 5, 7)),
        ((9, 7, 20), "last", (20, 9, 7)),
        ((9, 7, 20), "first", (9, 7, 20)),
        ((7, 7, 20), "first", (7, 7, 20)),
        ((2, 9, 7, 20), "last", (40, 9, 7)),
        ((9, 7), "last", (1, 9, 7)),
    ],
)
def test_two_equal_sides_are_height_and_width_unless_the_channels_are_named(shape, channels, size):
    image = torch.arange(prod(shape)).reshape(shape)

    (found,) = channels_first(image[None], channels)

    assert image_size(shape, channels) == tuple(found.shape) == size
    if channels == "first":
        assert torch.equal(found, image)


@pytest.mark.parametrize("shape", [(9, 7, 20), (8, 8, 8), (7, 20, 7), (16, 3, 9), (2, 5, 7, 5)])
def test_channels_that_may_be_first_or_last_are_not_guessed(shape):
    assert channels_are_last(shape, None) is None
    with pytest.raises(ValueError, match=r"does not show where .*; set policy\.channels"):
        image_size(shape, None)


def test_up_to_eight_pixels_nothing_is_halved():
    assert [layer.stride for layer in image_layers(8, 8)] == [(1, 1), (1, 1)]
    assert [layer.stride for layer in image_layers(8, 16)] == [(1, 1), (1, 1), (1, 2)]
