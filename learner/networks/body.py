"""The body of a network without a memory: from observations to outputs."""

import torch
from torch import Tensor, nn

from reinforce.configs.learning import Activation, Channels
from reinforce.learner.networks.layers import ACTIVATIONS, Parts, dense_layers
from reinforce.learner.policies.architecture import (
    PolicyArchitecture,
    channels_are_last,
    image_layers,
    image_size,
)
from reinforce.learner.policies.spaces import VECTOR, ObservationLeaf


class ImageEncoder(nn.Module):
    """Convolutions over one image, flattened."""

    def __init__(
        self,
        leaf: ObservationLeaf,
        activation: Activation,
        generator: torch.Generator,
        place: Channels | None,
    ) -> None:
        super().__init__()
        # Found here and not in each pass: the compiler may not know the shape there.
        self._place: Channels = "last" if channels_are_last(leaf.shape, place) else "first"
        channels, height, width = image_size(leaf.shape, place)
        modules: list[nn.Module] = []
        for filters, kernel, stride, padding in image_layers(height, width):
            layer = nn.Conv2d(channels, filters, kernel, stride, padding)
            nn.init.orthogonal_(layer.weight, nn.init.calculate_gain(activation), generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            modules += [layer, ACTIVATIONS[activation]()]
            channels = filters
        self.layers = nn.Sequential(*modules, nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, features] for [n, ...] uint8 images."""
        features: Tensor = self.layers(channels_first(images, self._place).float() / 255)
        return features


class FlatImage(nn.Module):
    """All pixels of an image, divided by 255."""

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, pixels] for [n, ...] uint8 images."""
        return images.flatten(start_dim=1) / 255


class Features(nn.Module):
    """All inputs as one flat vector: the numbers, and each image.

    Images go through convolutions, except in ``mlp``.
    """

    def __init__(self, architecture: PolicyArchitecture, generator: torch.Generator) -> None:
        super().__init__()
        leaves = architecture.observation.pixel_leaves
        self._names = [leaf.name for leaf in leaves]
        self.images = nn.ModuleList(
            FlatImage()
            if architecture.kind == "mlp"
            else ImageEncoder(leaf, architecture.activation, generator, architecture.channels)
            for leaf in leaves
        )

    def forward(self, parts: Parts) -> Tensor:
        """Return [n, num_features]."""
        features = [parts[VECTOR]] if VECTOR in parts else []
        for name, encoder in zip(self._names, self.images, strict=True):
            features.append(encoder(parts[name]))
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


class FeedforwardBody(nn.Module):
    """Features, then fully connected layers.

    With convolutions and one layer of 512, this is the network of Nature 2015.
    """

    def __init__(self, architecture: PolicyArchitecture, generator: torch.Generator) -> None:
        super().__init__()
        self.features = Features(architecture, generator)
        sizes = (architecture.num_features, *architecture.hidden_sizes)
        num_outputs = architecture.action.num_outputs
        self.layers = dense_layers(sizes, architecture.activation, generator, num_outputs)

    def forward(self, parts: Parts) -> Tensor:
        """Return [n, num_outputs]."""
        outputs: Tensor = self.layers(self.features(parts))
        return outputs


def channels_first(images: Tensor, place: Channels | None) -> Tensor:
    """Return images as [n, channels, height, width], from any order that ``image_size`` knows."""
    shape = tuple(images.shape[1:])
    if channels_are_last(shape, place):
        images = images.movedim(-1, -3)
    return images.reshape(len(images), *image_size(shape, place))
