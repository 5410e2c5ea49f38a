"""Images of any size and order get convolutions that see all of them and stay small."""

from math import prod

import pytest
import torch

from reinforce.learner.networks.body import ImageEncoder, channels_first
from reinforce.learner.policies.architecture import image_layers, image_size, num_features
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
    encoder = ImageEncoder(leaf, "relu", torch.Generator().manual_seed(0))
    images = torch.zeros(2, *shape, dtype=torch.uint8)

    assert tuple(channels_first(images).shape[1:]) == image_size(shape)
    assert encoder(images).shape == (2, num_features(shape))


@pytest.mark.parametrize("shape", [s for s in SHAPES if min(image_size(s)[1:]) < 36])
def test_images_too_small_for_nature_leave_at_most_eight_by_eight(shape):
    assert num_features(shape) <= 64 * 8 * 8


def test_the_network_of_nature_has_its_3136_features():
    """Mnih et al. 2015: 64 maps of 7 x 7 for 84 x 84 pixels."""
    assert num_features((84, 84, 4)) == 64 * 7 * 7


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

    (found,) = channels_first(image[None])

    assert image_size(shape) == size
    assert tuple(found.shape) == size
    for plane in range(size[0]):
        stack, channel = divmod(plane, min(size[0], 3))
        assert found[plane, 4, 2] == image[place(stack, channel, 4, 2)]


def test_up_to_eight_pixels_nothing_is_halved():
    assert [layer.stride for layer in image_layers(8, 8)] == [(1, 1), (1, 1)]
    assert [layer.stride for layer in image_layers(8, 16)] == [(1, 1), (1, 1), (1, 2)]
