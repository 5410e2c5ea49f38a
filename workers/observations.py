"""Converts an environment's observations to rows of arrays, and finds its action masks."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.distributions import Masks
from reinforce.learner.policies.spaces import (
    VECTOR,
    ActionLayout,
    ObservationLayout,
    ObservationLeaf,
    Path,
)
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.environment_faults import InvalidMaskError
from reinforce.workers.spaces import MASK_KEY

Write = Callable[[Any, Any], None]
"""``write(position, observation)``: a row and an observation, or a slice and a batch of them."""


class ObservationRows:
    """Observations and masks of single environments in one step.

    Attributes:
        observations: [n, ...] rows of ``ObservationLayout``.
        masks: [n, num_choices] allowed choices, or None if all always are.
        write_last: Writes an episode's last observation, which needs no mask.
    """

    def __init__(self, spec: EnvironmentSpec, num_rows: int) -> None:
        self._spec = spec
        self.observations = spec.observation.empty(num_rows)
        has_masks = spec.action_mask is not None
        self.masks = np.empty((num_rows, spec.action.num_choices), np.bool_) if has_masks else None
        self._make_writers()

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Continue with these rows only."""
        self.observations = self.observations[rows]
        self.masks = None if self.masks is None else self.masks[rows]
        self._make_writers()

    def write(self, position: int, observation: Any, info: dict[str, Any]) -> None:
        """Write a lane's observation and mask; InvalidMaskError if the mask is wrong."""
        self.write_last(position, observation)
        self.write_mask(position, observation, info)

    def write_mask(self, position: int, observation: Any, info: dict[str, Any]) -> None:
        """Write a lane's mask, if there are masks; InvalidMaskError if it is wrong."""
        if self.masks is not None:
            place = observation if self._spec.action_mask == "observation" else info
            self.masks[position] = read_mask(place, self._spec.action)

    def write_all(self, observations: list[Any]) -> bool:
        """Write an observation into every row at once; False if they do not form one array.

        Some may then have been written. ``write_last`` finds what is wrong, if anything.
        """
        try:
            for path, write in self._leaf_writers:
                parts = [reduce(getitem, path, x) for x in observations] if path else observations
                write(slice(None), parts)
        except Exception:  # noqa: BLE001 - of the user's objects; each is tried alone
            return False
        return True

    def are_apart(self, observations: list[Any]) -> bool:
        """Return whether every observation, and every part of one, has its own memory.

        If lanes share memory, each step of one overwrites what the others returned.
        """
        for path in {(), *(path for path, _ in self._leaf_writers)}:
            parts = [reduce(getitem, path, x) for x in observations]
            places = [
                x.__array_interface__["data"][0] if isinstance(x, np.ndarray) else id(x)
                for x in parts
                if not np.isscalar(x)
            ]
            if len(set(places)) < len(places):
                return False
        return True

    def _make_writers(self) -> None:
        self._leaf_writers = leaf_writers(self._spec.observation, self.observations)
        self.write_last = row_writer(self._spec.observation, self.observations)


def observation_rows(layout: ObservationLayout, observations: Any) -> NDArray[Any]:
    """Return [n, ...] rows for a batch in the form of Gymnasium's vector environments."""
    leaf = layout.leaves[0]
    if len(layout.leaves) == 1 and not leaf.path and leaf.kind != "categories":
        dtype, shape = layout.row_type
        array: NDArray[Any] = observations.astype(dtype, copy=False)
        return array.reshape(len(array), *shape)
    rows = layout.empty(len(reduce(getitem, leaf.path, observations)))
    row_writer(layout, rows)(slice(None), observations)
    return rows


def lane_masks(
    spec: EnvironmentSpec, observations: Any, info: dict[str, Any], lanes: Iterable[int]
) -> Masks:
    """Return [n, num_choices] the masks of some lanes of a vector environment, or None."""
    if not spec.action_mask:
        return None
    masks = (observations if spec.action_mask == "observation" else info).get(MASK_KEY)

    def place(lane: int) -> dict[str, Any]:
        if masks is None:
            return {}
        is_tuple = isinstance(masks, tuple)
        return {MASK_KEY: tuple(part[lane] for part in masks) if is_tuple else masks[lane]}

    return np.stack([read_mask(place(lane), spec.action) for lane in lanes])


def read_mask(place: dict[str, Any], layout: ActionLayout) -> NDArray[np.bool_]:
    """Return [num_choices] the action mask of one environment, from ``info`` or an observation.

    A MultiDiscrete's mask is one array, or one per component in a tuple or a list.
    InvalidMaskError if there is none, its size is wrong, or it allows nothing in a component.
    """
    if MASK_KEY not in place:
        raise InvalidMaskError(
            f"the environment gave an {MASK_KEY!r} at first and then none; it must come with every "
            "observation"
        )
    value = place[MASK_KEY]
    if isinstance(value, tuple | list):
        value = np.concatenate([np.ravel(part) for part in value])
    mask: NDArray[np.bool_] = np.asarray(value).astype(np.bool_).ravel()
    starts = layout.choice_starts
    if mask.shape != (layout.num_choices,) or not np.logical_or.reduceat(mask, starts).all():
        components = f" in each of the {len(starts)} components" if len(starts) > 1 else ""
        raise InvalidMaskError(
            f"the environment gave the {MASK_KEY!r} {value}: it must hold {layout.num_choices} "
            f"entries, one per choice, and allow at least one{components}"
        )
    return mask


def row_writer(layout: ObservationLayout, rows: NDArray[Any]) -> Write:
    """Return a function that writes observations into rows of ``layout.empty``.

    With a position it takes one observation; with a slice a batch in the form of Gymnasium's vector
    environments, every part of it with one more dimension in front.
    """
    writers = leaf_writers(layout, rows)
    if len(writers) == 1 and not layout.leaves[0].path:
        return writers[0][1]

    def write(position: Any, observation: Any) -> None:
        for path, write_leaf in writers:
            write_leaf(position, reduce(getitem, path, observation))

    return write


def misfit(layout: ObservationLayout, observation: Any) -> str:
    """Return what in a single observation does not fit, or "" if nothing known."""
    names = ", ".join(repr(leaf.name) for leaf in layout.leaves)
    for leaf in layout.leaves:
        name = repr(leaf.name) if leaf.path else "it"
        try:
            shape = np.shape(reduce(getitem, leaf.path, observation))
        except LookupError:
            return f"{name} is missing" if isinstance(observation, Mapping) else _parts_of(names)
        except (TypeError, ValueError):  # an array has no keys; lists of several lengths, no shape
            return _parts_of(names) if leaf.path else ""
        lasts = shape[len(shape) - len(leaf.shape) :]
        if leaf.kind == "categories" and int(np.prod(shape)) not in (1, len(leaf.counts)):
            ends = {int(start + n - 1) for start, n in zip(leaf.starts, leaf.counts, strict=True)}
            return f"{name} is a category up to {max(ends)}, as the environment returns it"
        if leaf.kind != "categories" and len(shape) > len(leaf.shape) and lasts == leaf.shape:
            return (
                f"{name} has shape {shape}, its space {leaf.shape}: act takes one observation, so "
                "call it once for each"
            )
    return ""


def _parts_of(names: str) -> str:
    return f"it must hold {names}, as the environment returns them"


def leaf_writers(layout: ObservationLayout, rows: NDArray[Any]) -> list[tuple[Path, Write]]:
    """Return each leaf's path, with a function that writes its values into the rows."""
    vector = rows[VECTOR] if rows.dtype.names and layout.vector_size else rows
    writers, start = [], 0
    for leaf in layout.leaves:
        if leaf.kind == "pixels":
            columns = rows[leaf.name] if rows.dtype.names else rows
        else:
            columns = vector[:, start : start + leaf.size]
            start += leaf.size
        make = _one_hot_writer if leaf.kind == "categories" else _number_writer
        writers.append((leaf.path, make(leaf, columns)))
    return writers


def _number_writer(leaf: ObservationLeaf, columns: NDArray[Any]) -> Write:
    shape, num_dimensions, is_image = leaf.shape, len(leaf.shape), leaf.kind == "pixels"
    is_flat = columns.shape[1:] == shape

    def write(position: Any, value: Any) -> None:
        if type(value) is not np.ndarray:
            value = np.asarray(value)
        own = value.shape[1:] if isinstance(position, slice) else value.shape
        # An assignment alone would repeat a value that is too short, and cut the digits off.
        if own != shape and own[len(own) - num_dimensions :] != shape:
            raise ValueError(f"an observation of shape {value.shape} instead of {shape}")
        if is_image and not np.can_cast(value.dtype, columns.dtype, "same_kind"):
            raise ValueError(f"pixels of dtype {value.dtype} instead of {columns.dtype}")
        columns[position] = value if is_flat else np.reshape(value, columns[position].shape)

    return write


def _one_hot_writer(leaf: ObservationLeaf, columns: NDArray[Any]) -> Write:
    components = np.repeat(np.arange(len(leaf.counts)), leaf.counts)
    values = np.concatenate(
        [start + np.arange(n) for start, n in zip(leaf.starts, leaf.counts, strict=True)]
    )

    def write(position: Any, value: Any) -> None:
        target = columns[position]
        flat = np.reshape(value, (*target.shape[:-1], len(leaf.counts)))
        target[...] = flat[..., components] == values

    return write


def num_unknown(layout: ObservationLayout, observations: NDArray[Any]) -> int:
    """Return the number of [n, ...] rows with a category outside its space, which is all zeros.

    Numbers outside the bounds of their Box are not counted: the bounds are not used.
    """
    counts = [count for leaf in layout.vector_leaves for count in leaf.counts]
    if not counts:
        return 0
    starts = np.cumsum([0, *counts[:-1]])
    one_hot = layout.vector(observations)[:, ~layout.is_continuous]
    is_unknown = np.add.reduceat(one_hot, starts, axis=1) == 0
    return int(is_unknown.any(axis=1).sum())
