"""Checks of images before a run: how they are read, how large they are, and if they are images."""

from reinforce.configs.config import Config
from reinforce.configs.learning import Channels
from reinforce.configs.plurals import counted
from reinforce.learner.policies.architecture import (
    PolicyArchitecture,
    channels_are_last,
    image_size,
)
from reinforce.learner.policies.spaces import ObservationLayout, ObservationLeaf
from reinforce.workers.environment import UnsuitableEnvironmentError
from reinforce.workers.random_rollout import RandomRollout

_DIM = 25
"""An image without brighter pixels, out of 255, is probably a board."""

_MANY_WEIGHTS = 20_000_000
"""Limit for one layer: 80 MB per version of the weights, three times that in the learner."""


def require_channels(config: Config, layout: ObservationLayout) -> None:
    """Refuse an image with ambiguous channels if it goes through convolutions."""
    for leaf in _convolved(config, layout):
        if channels_are_last(leaf.shape, config.policy.channels) is None:
            raise UnsuitableEnvironmentError(
                f"the shape {leaf.shape} of the image {leaf.name!r} does not show where its "
                "channels are, which convolutions need to know; set policy.channels to first for "
                f"{_image_size(leaf, 'first')}, or to last for {_image_size(leaf, 'last')}"
            )


def images_as_read(config: Config, layout: ObservationLayout) -> tuple[str, ...]:
    """Return how convolutions read each image."""
    return tuple(
        f"{leaf.name!r} of shape {leaf.shape} is {_image_size(leaf, config.policy.channels)}"
        for leaf in _convolved(config, layout)
    )


def _convolved(config: Config, layout: ObservationLayout) -> tuple[ObservationLeaf, ...]:
    """Return the images that go through convolutions of the policy or its value function."""
    kind = config.policy.kind
    is_the_users = ":" in kind
    if kind in ("cnn", "gru") or (is_the_users and config.learner.baseline == "value"):
        return layout.pixel_leaves
    return ()


def _image_size(leaf: ObservationLeaf, channels: Channels | None) -> str:
    count, height, width = image_size(leaf.shape, channels)
    return f"{counted(count, 'channel')} of {height} x {width} pixels"


def dim_images(layout: ObservationLayout, rollouts: list[RandomRollout]) -> list[str]:
    """Return a warning for each image that is probably a board of small numbers."""
    way_out = (
        "put {DtypeObservation: {dtype: float32}} among environment.wrappers"
        if _is_alone(layout)
        else "make it a Box of float32 with your own wrapper (Gymnasium's DtypeObservation takes "
        "no Dict or Tuple)"
    )
    brightest = {
        leaf.name: max(rollout.brightest[leaf.name] for rollout in rollouts)
        for leaf in layout.pixel_leaves
    }
    return [
        f"the image {name!r} holds nothing above {value} in {len(rollouts)} random rollouts and is "
        "divided by 255, so the network sees next to nothing of it; if it is a board of small "
        f"numbers and not an image, {way_out} and set policy.normalize_observations to true"
        for name, value in brightest.items()
        if value <= _DIM
    ]


def large_images(architecture: PolicyArchitecture) -> list[str]:
    """Return a warning if the images make the first layer huge."""
    images = architecture.observation.pixel_leaves
    if not images or ":" in architecture.kind:
        return []
    inputs, outputs = architecture.first_layer
    if inputs * outputs <= _MANY_WEIGHTS:
        return []
    way_out = (
        "put {ResizeObservation: {shape: [84, 84]}} among environment.wrappers (it needs OpenCV: "
        "pip install 'distributed-reinforce[atari]')"
        if _is_alone(architecture.observation) and len(images[0].shape) < 4
        else "make it smaller with your own wrapper (Gymnasium's ResizeObservation takes only a "
        "single image of two or three dimensions)"
    )
    sizes = " and ".join(f"{leaf.name!r} of shape {leaf.shape}" for leaf in images)
    return [
        f"with the image {sizes} the first layer after the image of policy.kind "
        f"{architecture.kind!r} has {inputs:,} x {outputs:,} weights, "
        f"{4e-6 * inputs * outputs:,.0f} MB that travel to every worker with each version of the "
        f"weights; {way_out}"
    ]


def _is_alone(layout: ObservationLayout) -> bool:
    """Return whether the image is the whole observation, as Gymnasium's image wrappers require."""
    return not layout.leaves[0].path
