"""What is odd about images and harms learning alone: boards of small numbers, and sheer size."""

from collections.abc import Iterator

from learner.architecture import PolicyArchitecture
from learner.spaces import ObservationLayout
from workers.trial import Trial

_DIM = 25
"""Of 255: an image that is nowhere brighter is taken for a board."""

_MANY_WEIGHTS = 20_000_000
"""In one layer: 80 MB in every version of the weights, and three times that in the learner."""


def findings_about_images(architecture: PolicyArchitecture, trials: list[Trial]) -> Iterator[str]:
    """Yield sentences for the user: what was found, and what to do about it."""
    yield from _boards(architecture.observation, trials)
    yield from _too_large(architecture)


def _boards(layout: ObservationLayout, trials: list[Trial]) -> Iterator[str]:
    for leaf in layout.pixel_leaves:
        brightest = max(trial.brightest[leaf.name] for trial in trials)
        if brightest <= _DIM:
            way_out = (
                "put {DtypeObservation: {dtype: float32}} among environment.wrappers"
                if _is_alone(layout)
                else "make it a Box of float32 with a wrapper of your own (Gymnasium's "
                "DtypeObservation takes no Dict and no Tuple)"
            )
            yield (
                f"the image {leaf.name!r} holds nothing above {brightest} in {len(trials)} trials "
                "and is divided by 255, so that the network sees next to nothing of it; if it is a "
                f"board of small numbers and no image, {way_out} and set "
                "policy.normalize_observations to true"
            )


def _too_large(architecture: PolicyArchitecture) -> Iterator[str]:
    images = architecture.observation.pixel_leaves
    if not images or ":" in architecture.kind:
        return
    inputs, outputs = architecture.first_layer
    if inputs * outputs > _MANY_WEIGHTS:
        way_out = (
            "put {ResizeObservation: {shape: [84, 84]}} among environment.wrappers (it needs "
            "OpenCV: pip install 'distributed-reinforce[atari]')"
            if _is_alone(architecture.observation) and len(images[0].shape) < 4
            else "make it smaller with a wrapper of your own (Gymnasium's ResizeObservation takes "
            "one image alone, of two or three dimensions)"
        )
        sizes = " and ".join(f"{leaf.name!r} of shape {leaf.shape}" for leaf in images)
        yield (
            f"with the image {sizes} the first layer after the image of policy.kind "
            f"{architecture.kind!r} has {inputs:,} x {outputs:,} weights, "
            f"{4e-6 * inputs * outputs:,.0f} MB that every version of the weights takes to every "
            f"worker; {way_out}"
        )


def _is_alone(layout: ObservationLayout) -> bool:
    """Return whether the image is the whole observation, as Gymnasium's wrappers of images ask."""
    return not layout.leaves[0].path
