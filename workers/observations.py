"""From what an environment returns to rows of arrays, and the action masks that come along."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.learner.policies.distributions import Masks, make_distribution, masked
from reinforce.learner.policies.spaces import (
    VECTOR,
    ActionLayout,
    ObservationLayout,
    ObservationLeaf,
    Path,
)
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.spaces import MASK_KEY

Write = Callable[[Any, Any], None]
"""``write(position, observation)``: a row and an observation, or a slice and a batch of them."""


class ObservationRows:
    """What several lanes see in one step.

    Attributes:
        observations: [n, ...] rows of ``ObservationLayout``.
        masks: [n, num_choices] which choices are allowed, or None where all are, always.
    """

    def __init__(self, observations: NDArray[Any], masks: Masks) -> None:
        self.observations = observations
        self.masks = masks

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Go on with these rows alone."""
        self.observations = self.observations[rows]
        self.masks = None if self.masks is None else self.masks[rows]


def batch_rows(
    spec: EnvironmentSpec, observations: Any, info: dict[str, Any], lanes: NDArray[np.int64]
) -> ObservationRows:
    """Return what some lanes of a vector environment see, and what they may do."""
    rows = observation_rows(spec.observation, observations)[lanes]
    if not spec.action_mask:
        return ObservationRows(rows, None)
    places = [_place_of(spec, observations, info, int(lane)) for lane in lanes]
    masks = [read_mask(place, spec.action) for place in places]
    return ObservationRows(rows, np.stack(masks))


def write_idle_actions(
    spec: EnvironmentSpec,
    observations: Any,
    info: dict[str, Any],
    actions: NDArray[Any],
    lanes: NDArray[np.int64],
) -> None:
    """Write for some lanes an action that their masks allow, for those whose episode is over."""
    zeros = np.zeros((1, spec.action.num_choices), np.float32)
    for lane in lanes.tolist():
        with suppress(InvalidMaskError):  # nothing is asked of a lane that waits
            place = _place_of(spec, observations, info, lane)
            mask = read_mask(place, spec.action)[None]
            actions[lane] = make_distribution(spec.action).mode(masked(zeros, mask))[0]


def observation_rows(layout: ObservationLayout, observations: Any) -> NDArray[Any]:
    """Return [n, ...] rows for a batch in the form of Gymnasium's vector environments."""
    leaf = layout.leaves[0]
    if len(layout.leaves) == 1 and not leaf.path and leaf.kind != "categories":
        dtype, shape = layout.row_type
        array: NDArray[Any] = observations.astype(dtype, copy=False)
        return array.reshape(len(array), *shape)
    count = len(_at(observations, leaf.path))
    rows = layout.empty(count)
    row_writer(layout, rows)(slice(None), observations)
    return rows


class WritableRows(ObservationRows):
    """Rows that single environments fill in, one after the other."""

    def __init__(self, spec: EnvironmentSpec, num_rows: int) -> None:
        masks = (
            np.empty((num_rows, spec.action.num_choices), np.bool_) if spec.action_mask else None
        )
        super().__init__(spec.observation.empty(num_rows), masks)
        self._layout, self._action = spec.observation, spec.action
        self._mask_source = spec.action_mask
        self.write_last = row_writer(self._layout, self.observations)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Go on with these rows alone."""
        super().keep(rows)
        self.write_last = row_writer(self._layout, self.observations)

    def write(self, position: int, observation: Any, info: dict[str, Any]) -> None:
        """Write what one lane sees, and what it may do.

        Raises:
            InvalidMaskError: There is no mask, or it has the wrong size, or it allows nothing.
        """
        self.write_last(position, observation)
        if self.masks is not None:
            place = observation if self._mask_source == "observation" else info
            self.masks[position] = read_mask(place, self._action)


class InvalidMaskError(Exception):
    """An action mask that is absent, of the wrong size, or that allows nothing."""


def read_mask(place: dict[str, Any], layout: ActionLayout) -> NDArray[np.bool_]:
    """Return [num_choices] the action mask of one environment, from ``info`` or an observation.

    A MultiDiscrete's mask is one array, or a tuple of one per component, as Gymnasium samples.

    Raises:
        InvalidMaskError: There is none, or it has the wrong size, or it allows nothing in a
            component.
    """
    if MASK_KEY not in place:
        raise InvalidMaskError(
            f"the environment gave an {MASK_KEY!r} at first and then none; it has to come with "
            "every observation"
        )
    value = place[MASK_KEY]
    if isinstance(value, tuple):
        value = np.concatenate([np.ravel(part) for part in value])
    mask: NDArray[np.bool_] = np.asarray(value).astype(np.bool_).ravel()
    starts = layout.choice_starts
    if mask.shape != (layout.num_choices,) or not np.logical_or.reduceat(mask, starts).all():
        components = f" in each of the {len(starts)} components" if len(starts) > 1 else ""
        raise InvalidMaskError(
            f"the environment gave the {MASK_KEY!r} {value}: it has to hold {layout.num_choices} "
            f"entries, one per choice, and to allow at least one{components}"
        )
    return mask


def row_writer(layout: ObservationLayout, rows: NDArray[Any]) -> Write:
    """Return a function that writes observations into rows of ``layout.empty``.

    With a position it takes one observation; with a slice a batch in the form of Gymnasium's vector
    environments, every part of it with one more dimension in front.
    """
    writers = [(leaf.path, _leaf_writer(leaf, part)) for leaf, part in _parts(layout, rows)]
    if len(writers) == 1 and not layout.leaves[0].path:
        return writers[0][1]

    def write(position: Any, observation: Any) -> None:
        for path, write_leaf in writers:
            write_leaf(position, _at(observation, path))

    return write


def _parts(
    layout: ObservationLayout, rows: NDArray[Any]
) -> list[tuple[ObservationLeaf, NDArray[Any]]]:
    """Return each leaf with a view of its columns, shaped [n, ...] as the leaf is."""
    vector = rows[VECTOR] if rows.dtype.names and layout.vector_size else rows
    parts, start = [], 0
    for leaf in layout.leaves:
        if leaf.kind == "pixels":
            parts.append((leaf, rows[leaf.name] if rows.dtype.names else rows))
            continue
        columns = vector[:, start : start + leaf.size]
        parts.append((leaf, columns))
        start += leaf.size
    return parts


def _leaf_writer(leaf: ObservationLeaf, columns: NDArray[Any]) -> Write:
    if leaf.kind == "categories":
        return _one_hot_writer(leaf, columns)
    shape, num_dimensions, is_image = leaf.shape, len(leaf.shape), leaf.kind == "pixels"
    is_flat = columns.shape[1:] == shape

    def write(position: Any, value: Any) -> None:
        if type(value) is not np.ndarray:
            value = np.asarray(value)
        # An assignment alone would repeat a value that is too short, and cut the digits off.
        if value.shape != shape and value.shape[value.ndim - num_dimensions :] != shape:
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

    def write_one_hot(position: Any, value: Any) -> None:
        target = columns[position]
        flat = np.reshape(value, (*target.shape[:-1], len(leaf.counts)))
        target[...] = flat[..., components] == values

    return write_one_hot


def _place_of(
    spec: EnvironmentSpec, observations: Any, info: dict[str, Any], lane: int
) -> dict[str, Any]:
    """Return where the mask of one lane is looked for."""
    masks = (observations if spec.action_mask == "observation" else info).get(MASK_KEY)
    if masks is None:
        return {}
    is_tuple = isinstance(masks, tuple)
    return {MASK_KEY: tuple(part[lane] for part in masks) if is_tuple else masks[lane]}


def _at(observation: Any, path: Path) -> Any:
    for key in path:
        observation = observation[key]
    return observation
