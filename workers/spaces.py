"""Converts Gymnasium's spaces to the plain layouts that policies know, or refuses them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space
from numpy.typing import NDArray

from reinforce.learner.policies.spaces import (
    VECTOR,
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
    Path,
)

MASK_KEY = "action_mask"
"""Key of action masks: in ``info``, or in a Dict observation."""


_MOST_CHOICES = 256
"""Most values of an integer component: as many as a byte has."""


class UnsupportedSpaceError(Exception):
    """A space that no policy here supports; the message names the part and the way out."""


def observation_layout(space: Space[Any], *, is_masked: bool = False) -> ObservationLayout:
    """Return how observations of a space are stored, without an action mask that is used.

    UnsupportedSpaceError if a part has no fixed size, or if it is empty.
    """
    seen = [leaf for leaf in _leaves(space) if not (is_masked and leaf[0] == (MASK_KEY,))]
    leaves = [_observation_leaf(path, leaf, space) for path, leaf in seen]
    if sum(leaf.size for leaf in leaves) == 0:
        raise UnsupportedSpaceError(f"the observation space {space} holds no number")
    names = [VECTOR, *(leaf.name for leaf in leaves)]
    for name in names:
        if names.count(name) > 1:
            raise UnsupportedSpaceError(
                f"the observation space {space} has two parts named {name!r}, or one named "
                f"{VECTOR!r}, which is reserved; rename a key of the Dict"
            )
    return ObservationLayout(tuple(leaves))


def action_layout(space: Space[Any]) -> ActionLayout:
    """Return how actions of a space are stored.

    UnsupportedSpaceError if a part has no distribution here, or if there is nothing to choose.
    """
    leaves = tuple(_action_leaf(path, leaf) for path, leaf in _leaves(space))
    if sum(leaf.size for leaf in leaves) == 0:
        raise UnsupportedSpaceError(f"the action space {space} has nothing to decide")
    return ActionLayout(leaves)


def parts_of(space: Space[Any]) -> list[tuple[str | int, Space[Any]]]:
    """Return the parts of a Dict or a Tuple by their keys; nothing for other spaces."""
    if isinstance(space, spaces.Dict):
        return list(space.spaces.items())
    return list(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else []


def part_name(role: str, path: Path) -> str:
    """Return words for a part of an observation or an action, such as "the action at 'arm.0'"."""
    place = f" at {'.'.join(map(str, path))!r}" if path else ""
    return f"the {role}{place}"


def _leaves(space: Space[Any], path: Path = ()) -> Iterator[tuple[Path, Space[Any]]]:
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield path, space
    for key, part in parts_of(space):
        if isinstance(space, spaces.Dict) and not isinstance(key, str):
            raise UnsupportedSpaceError(
                f"the space {space} has the key {key!r}, of type {type(key).__name__}, but the "
                "keys of a Dict must be strings; rename it, or use a Tuple"
            )
        yield from _leaves(part, (*path, key))


def _observation_leaf(path: Path, space: Space[Any], whole: Space[Any]) -> ObservationLeaf:
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return ObservationLeaf(path, "pixels" if _is_image(space) else "numbers", space.shape)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return ObservationLeaf(path, "categories", space.shape or (), *_counts_and_starts(space))
    raise UnsupportedSpaceError(
        f"{part_name('observation', path)} is the space {space}: {type(space).__name__} has no "
        f"fixed size, which policies need; {_without_unsized(whole)}convert it with your own "
        "wrapper to Box, Discrete, MultiDiscrete, MultiBinary, or a Tuple or Dict of these"
    )


def _without_unsized(space: Space[Any]) -> str:
    """Return how to leave out parts without a fixed size, if other parts remain."""
    sized = (spaces.Box, spaces.MultiBinary, spaces.Discrete, spaces.MultiDiscrete)
    kept = [
        key for key, part in parts_of(space) if all(isinstance(x, sized) for _, x in _leaves(part))
    ]
    if not kept:
        return ""
    # JSON is YAML, in which a bare `on` would be no string.
    wrapper = f"{{FilterObservation: {{filter_keys: {json.dumps(kept)}}}}}"
    return f"put {wrapper} among environment.wrappers to leave it out, or "


def _is_image(space: spaces.Box | spaces.MultiBinary) -> bool:
    """Return whether its bounds are those of an image, not of a board of small numbers."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    return 2 <= len(space.shape) <= 4 and bool(space.high.max(initial=0) == 255)


def _action_leaf(path: Path, space: Space[Any]) -> ActionLeaf:
    if isinstance(space, spaces.Box):
        is_real = np.issubdtype(space.dtype, np.floating)
        return _gaussian_leaf(path, space) if is_real else _whole_number_leaf(path, space)
    dtype = str(space.dtype)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        shape = space.shape or ()
        return ActionLeaf(path, "categorical", shape, dtype, *_counts_and_starts(space))
    if isinstance(space, spaces.MultiBinary):
        return ActionLeaf(path, "binary", space.shape, dtype)
    raise UnsupportedSpaceError(
        f"{part_name('action', path)} is the space {space}: {type(space).__name__}, for which "
        "there is no distribution here; supported are Discrete, MultiDiscrete, MultiBinary, Box, "
        "and Tuple and Dict of these; gymnasium.wrappers.TransformAction converts"
    )


def _whole_number_leaf(path: Path, space: spaces.Box) -> ActionLeaf:
    """Return a choice for each component, as for a MultiDiscrete."""
    low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
    counts = tuple(int(last) - int(first) + 1 for first, last in zip(low, high, strict=True))
    if max(counts, default=0) > _MOST_CHOICES or not space.shape:
        reason = (
            f"every integer of a component is a choice, and {_MOST_CHOICES} are allowed, but this "
            f"one has {max(counts):,}; use a Box of floats and round them"
            if space.shape
            else "an integer without dimensions; use Discrete"
        )
        raise UnsupportedSpaceError(
            f"{part_name('action', path)} is the space {space}: {reason}, with a wrapper such as "
            "gymnasium.wrappers.TransformAction"
        )
    return ActionLeaf(
        path, "categorical", space.shape, str(space.dtype), counts, tuple(map(int, low))
    )


def _gaussian_leaf(path: Path, space: spaces.Box) -> ActionLeaf:
    if (space.low == space.high).any():
        raise UnsupportedSpaceError(
            f"{part_name('action', path)} is the space {space}: a component with low == high has "
            "nothing to decide and no density; remove it with a wrapper such as "
            "gymnasium.wrappers.TransformAction"
        )
    largest = float(np.finfo(str(space.dtype)).max)
    low, high = (
        # The largest number of the dtype is how many environments write that there is no bound.
        tuple(map(float, np.where(np.abs(bound) == largest, no_bound, bound).flatten()))
        for bound, no_bound in ((space.low, -np.inf), (space.high, np.inf))
    )
    return ActionLeaf(path, "gaussian", space.shape, str(space.dtype), low=low, high=high)


def _counts_and_starts(
    space: spaces.Discrete | spaces.MultiDiscrete,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    counts = space.n if isinstance(space, spaces.Discrete) else space.nvec
    return tuple(np.ravel(counts).tolist()), tuple(np.ravel(space.start).tolist())


class ActionDecoder:
    """Turns rows of ``ActionLayout`` into actions of the environment."""

    def __init__(self, layout: ActionLayout) -> None:
        self._layout = layout
        self._start = layout.leaves[0].starts[0] if layout.is_one_choice else 0
        self._dtype = np.dtype(layout.leaves[0].dtype)
        self._decoders = [_leaf_decoder(leaf) for leaf in layout.leaves]

    def batch(self, actions: NDArray[Any]) -> Any:
        """Return [n, ...] actions in a vector environment's form: nested, then batched."""
        if self._layout.is_one_choice:
            return (actions + self._start).astype(self._dtype, copy=False)
        values, start = {}, 0
        for leaf, decode in zip(self._layout.leaves, self._decoders, strict=True):
            values[leaf.path] = decode(actions[:, start : start + leaf.size])
            start += leaf.size
        return nested(values)

    def singles(self, actions: NDArray[Any]) -> list[Any]:
        """Return n actions, one for each single environment."""
        if self._layout.is_one_choice:
            singles: list[Any] = (actions + self._start if self._start else actions).tolist()
            return singles
        return unbatched(self.batch(actions), len(actions))


def _leaf_decoder(leaf: ActionLeaf) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function from [n, size] columns to [n, *shape] values of the environment."""
    dtype, shape = np.dtype(leaf.dtype), leaf.shape
    if leaf.kind == "gaussian":
        low, high, squashed = np.array(leaf.low), np.array(leaf.high), np.array(leaf.is_squashed)
        middle, half = np.zeros(leaf.size), np.ones(leaf.size)
        middle[squashed] = 0.5 * (low[squashed] + high[squashed])
        half[squashed] = 0.5 * (high[squashed] - low[squashed])
        where = squashed.all() or squashed  # a mask costs more than what it leaves out

        def decode_numbers(columns: NDArray[Any]) -> NDArray[Any]:
            numbers = columns.astype(np.float64)
            np.tanh(numbers, out=numbers, where=where)
            numbers *= half
            numbers += middle
            # Cuts at a bound that stands alone; elsewhere only what rounding put outside.
            np.maximum(numbers, low, out=numbers)
            np.minimum(numbers, high, out=numbers)
            return numbers.astype(dtype).reshape(len(columns), *shape)

        return decode_numbers
    starts = np.array(leaf.starts or 0, dtype)

    def decode_choices(columns: NDArray[Any]) -> NDArray[Any]:
        numbers: NDArray[Any] = columns.astype(dtype) + starts
        return numbers.reshape(len(columns), *shape)

    return decode_choices


def nested(values: dict[Path, Any]) -> Any:
    """Return leaves nested by their paths in dicts and tuples, or the only leaf by itself."""
    if () in values:
        return values[()]
    parts = {
        key: nested({path[1:]: value for path, value in values.items() if path[0] == key})
        for key in dict.fromkeys(path[0] for path in values)
    }
    is_tuple = isinstance(next(iter(parts)), int)
    return tuple(parts.values()) if is_tuple else parts


def unbatched(batch: Any, num_rows: int) -> list[Any]:
    """Return the rows of a nested batch, each in a single environment's form."""
    if isinstance(batch, dict):
        parts = [unbatched(part, num_rows) for part in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*parts, strict=True)]
    if isinstance(batch, tuple):
        return list(zip(*(unbatched(part, num_rows) for part in batch), strict=True))
    return list(batch)
