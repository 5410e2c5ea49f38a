"""Spaces as a policy sees them: flat leaves of numbers, categories, pixels and choices.

A nested space is flattened once into leaves with a fixed order, so plain arrays travel. Everything
but pixels becomes one float32 vector per observation, and an action is one flat row. These
descriptions are plain data, without Gymnasium; ``workers.spaces`` makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, log, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

Path = tuple[str | int, ...]
"""Keys from the root to a leaf: a str for a Dict, an int for a Tuple; empty without nesting."""

VECTOR = "(vector)"
"""Name of the field for the numbers of an observation that also has pixels.

No image may have this name; ``workers.spaces`` refuses one.
"""


@dataclass(frozen=True)
class ObservationLeaf:
    """One part of an observation.

    Attributes:
        path: Its place in the space.
        kind: ``numbers`` are copied as float32; ``categories`` become one-hot; ``pixels`` stay
            uint8 until the network.
        shape: Shape of the environment's value.
        counts: For categories, the number of values of each component.
        starts: For categories, the first value of each component.
    """

    path: Path
    kind: Literal["numbers", "categories", "pixels"]
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The path with points between its keys."""
        return ".".join(map(str, self.path)) or "observation"

    @property
    def size(self) -> int:
        """Its size as numbers for the policy."""
        return sum(self.counts) if self.kind == "categories" else prod(self.shape)

    def __str__(self) -> str:
        return _in_words(self, self.kind)


@dataclass(frozen=True)
class ObservationLayout:
    """How observations are stored, one row each.

    Without pixels a row is a float32 vector [vector_size]; a single image alone is a uint8 array
    of its shape; both together, or several images, are the fields of a structured row.
    """

    leaves: tuple[ObservationLeaf, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.leaves))

    @cached_property
    def vector_leaves(self) -> tuple[ObservationLeaf, ...]:
        """The leaves in the vector, in its order."""
        return tuple(leaf for leaf in self.leaves if leaf.kind != "pixels")

    @cached_property
    def pixel_leaves(self) -> tuple[ObservationLeaf, ...]:
        """The images."""
        return tuple(leaf for leaf in self.leaves if leaf.kind == "pixels")

    @cached_property
    def vector_size(self) -> int:
        """Numbers in the vector."""
        return sum(leaf.size for leaf in self.vector_leaves)

    @cached_property
    def flat_size(self) -> int:
        """Numbers in vector and images together."""
        return sum(leaf.size for leaf in self.leaves)

    @cached_property
    def row_type(self) -> tuple[DTypeLike, tuple[int, ...]]:
        """(dtype, shape) of a row."""
        if not self.pixel_leaves:
            return np.float32, (self.vector_size,)
        if len(self.leaves) == 1:
            return np.uint8, self.leaves[0].shape
        vector: list[Any] = [(VECTOR, np.float32, (self.vector_size,))] if self.vector_size else []
        return np.dtype(vector + [(x.name, np.uint8, x.shape) for x in self.pixel_leaves]), ()

    @cached_property
    def is_continuous(self) -> NDArray[np.bool_]:
        """[vector_size] whether each number of the vector is a measurement, not a category."""
        return np.repeat(
            [leaf.kind == "numbers" for leaf in self.vector_leaves],
            [leaf.size for leaf in self.vector_leaves],
        ).astype(np.bool_)

    def empty(self, num_rows: int) -> NDArray[Any]:
        """Return [num_rows, ...] uninitialised rows."""
        dtype, shape = self.row_type
        return np.empty((num_rows, *shape), dtype)

    def vector(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return [n, vector_size] the vectors of rows."""
        if not self.vector_size:
            return np.zeros((len(observations), 0), np.float32)
        if observations.dtype.names:
            return observations[VECTOR].copy()
        return observations.reshape(len(observations), -1)

    def pixels(self, observations: NDArray[Any]) -> dict[str, NDArray[np.uint8]]:
        """Return [n, ...] the images of rows, by name."""
        if observations.dtype.names:
            return {x.name: observations[x.name].copy() for x in self.pixel_leaves}
        return {leaf.name: observations for leaf in self.pixel_leaves}

    def flat(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return [n, flat_size] the vector, then all pixels divided by 255."""
        if not self.pixel_leaves:
            return observations.reshape(len(observations), -1)
        images = self.pixels(observations).values()
        scaled = [image.reshape(len(image), -1) / np.float32(255) for image in images]
        return np.concatenate([self.vector(observations), *scaled], axis=1)


@dataclass(frozen=True)
class ActionLeaf:
    """One part of an action.

    Attributes:
        path: Its place in the space.
        kind: ``categorical`` (one choice per component), ``binary`` (a yes or no per component) or
            ``gaussian`` (a number per component).
        shape: Of the value that the environment takes.
        dtype: Of the value that the environment takes.
        counts: For categorical, the number of choices of each component.
        starts: For categorical, the environment's number for choice 0 of each component.
        low: For gaussian, the lower bound of each component; -inf for none.
        high: For gaussian, the upper bound.
    """

    path: Path
    kind: Literal["categorical", "binary", "gaussian"]
    shape: tuple[int, ...]
    dtype: str
    counts: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of components."""
        return prod(self.shape)

    @property
    def num_outputs(self) -> int:
        """Network outputs for it: logits or means."""
        return sum(self.counts) if self.kind == "categorical" else self.size

    @property
    def num_uniforms(self) -> int:
        """Random numbers per sample; normal ones come in pairs."""
        return self.size + (self.size % 2 if self.kind == "gaussian" else 0)

    @property
    def is_squashed(self) -> tuple[bool, ...]:
        """Which components are squashed by tanh: those with two finite bounds."""
        bounds = zip(self.low, self.high, strict=True)
        return tuple(isfinite(low) and isfinite(high) for low, high in bounds)

    @property
    def log_scale(self) -> float:
        """Sum of log((high - low) / 2), which stretches tanh, over the squashed components."""
        bounds = zip(self.low, self.high, self.is_squashed, strict=True)
        return sum((log(0.5 * (high - low)) for low, high, squashed in bounds if squashed), 0.0)

    def __str__(self) -> str:
        kinds = {"categorical": "choices", "binary": "yes or no", "gaussian": "real numbers"}
        bounds = f", {_each(self.low)} to {_each(self.high)}" if self.low else ""
        return f"{_in_words(self, kinds[self.kind])}{bounds}, {self.dtype}"


@dataclass(frozen=True)
class ActionLayout:
    """How actions are stored: a row of numbers each, int64, or float32 with a Gaussian among them.

    A lone Discrete action is a single int64. For a squashed component, the row holds the value
    *before* the tanh, which makes the log-probability exact; ``workers.spaces`` squashes it.
    """

    leaves: tuple[ActionLeaf, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.leaves))

    @cached_property
    def is_one_choice(self) -> bool:
        """Whether it is a single Discrete space, not nested."""
        (leaf, *others) = self.leaves
        return not others and leaf.kind == "categorical" and (leaf.shape, leaf.path) == ((), ())

    @cached_property
    def row_type(self) -> tuple[DTypeLike, tuple[int, ...]]:
        """(dtype, shape) of a row."""
        if self.is_one_choice:
            return np.int64, ()
        size = sum(leaf.size for leaf in self.leaves)
        return (np.float32 if self.num_gaussians else np.int64), (size,)

    @cached_property
    def num_outputs(self) -> int:
        """Number of network outputs."""
        return sum(leaf.num_outputs for leaf in self.leaves)

    @cached_property
    def num_gaussians(self) -> int:
        """Number of components with a standard deviation, each a parameter of the policy."""
        return sum(leaf.size for leaf in self.leaves if leaf.kind == "gaussian")

    @cached_property
    def num_uniforms(self) -> int:
        """Random numbers that a sample takes."""
        return sum(leaf.num_uniforms for leaf in self.leaves)

    @cached_property
    def num_choices(self) -> int:
        """Length of an action mask: all choices of all components; 0 where none is possible."""
        if any(leaf.kind != "categorical" for leaf in self.leaves):
            return 0
        return self.num_outputs

    @cached_property
    def choice_starts(self) -> list[int]:
        """Where the choices of each component begin in an action mask."""
        return [part.outputs.start for part in components_of(self)] if self.num_choices else []

    def empty(self, num_rows: int) -> NDArray[Any]:
        """Return [num_rows, ...] uninitialised rows."""
        dtype, shape = self.row_type
        return np.empty((num_rows, *shape), dtype)


@dataclass(frozen=True)
class ActionComponent:
    """The part of the flat arrays that one distribution covers.

    Attributes:
        leaf: The leaf that it is part or all of.
        outputs: Columns of its logits or means among the parameters.
        log_stds: Columns of its log standard deviations among the parameters; empty for most.
        actions: Columns of its values among the actions; for a single choice, its index.
        uniforms: Columns of its random numbers, likewise.
    """

    leaf: ActionLeaf
    outputs: slice
    log_stds: slice
    actions: slice | int
    uniforms: slice | int


def components_of(layout: ActionLayout) -> list[ActionComponent]:
    """Return the parts of a layout's flat arrays, in order.

    The parameters of a distribution are a row of the network's outputs, followed by the log
    standard deviations. Each component of a MultiDiscrete is a categorical of its own.
    """
    components = []
    output, log_std, action, uniform = 0, layout.num_outputs, 0, 0
    for leaf in layout.leaves:
        is_choice, size = leaf.kind == "categorical", leaf.size
        num_deviations = size if leaf.kind == "gaussian" else 0
        for width in leaf.counts if is_choice else (size,):
            num_actions, num_uniforms = (1, 1) if is_choice else (size, leaf.num_uniforms)
            components.append(
                ActionComponent(
                    leaf,
                    slice(output, output + width),
                    slice(log_std, log_std + num_deviations),
                    action if is_choice else slice(action, action + num_actions),
                    uniform if is_choice else slice(uniform, uniform + num_uniforms),
                )
            )
            output, log_std = output + width, log_std + num_deviations
            action, uniform = action + num_actions, uniform + num_uniforms
    return components


def _in_words(leaf: ObservationLeaf | ActionLeaf, kind: str) -> str:
    """Return a part's place, kind and shape, for a message."""
    place = ".".join(map(str, leaf.path))
    values = f", {_each(leaf.counts)} values from {_each(leaf.starts)}" if leaf.counts else ""
    return f"{place + ': ' if place else ''}{kind} of shape {leaf.shape}{values}"


def _each(numbers: Sequence[float]) -> str:
    """Return the number if all are equal, or else all of them."""
    first, *others = dict.fromkeys(numbers)
    return str(numbers) if others else str(first)
