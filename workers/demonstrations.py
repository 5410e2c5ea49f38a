"""Recorded (observation, action) pairs: converts the arrays of a dataset to trajectories.

The arrays by name, n pairs each, in the environment's own format:

* ``observations`` [n, ...]; for a Dict or Tuple, one array per part, ``observations/arm/speed``
* ``actions`` [n, ...]; likewise, ``actions/gear``
* ``action_masks`` [n, choices], bool, if the environment gives masks in ``info``; a mask in the
  observation is ``observations/action_mask``
* ``episode_lengths`` [E], integers with sum n, if pairs are the steps of whole episodes; without
  it, each pair stands alone, and no policy with a memory can learn from them
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.configs.errors import ConfigError, suggestion
from reinforce.learner.policies.spaces import ActionLeaf, ObservationLeaf, Path
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.observations import row_writer
from reinforce.workers.spaces import MASK_KEY, nested

ARRAYS = OBSERVATIONS, ACTIONS, MASKS, LENGTHS = (
    *("observations", "actions"),
    *("action_masks", "episode_lengths"),
)
"""Names, or prefixes of names."""

_EDGE = 0.999
"""Share of the way to a bound for a number on the bound, which would be the tanh of infinity."""

_ROUNDING = 1e-6
"""How far float64 numbers may exceed a float32 bound, relative to the bounds."""


class UnsuitableDataError(ConfigError):
    """Data that does not fit the spaces; the message names the array, the row and the value."""


def trajectories_of(
    arrays: Mapping[str, NDArray[Any]], spec: EnvironmentSpec, unread: Collection[str] = ()
) -> Trajectories:
    """Return a dataset as trajectories without rewards.

    Args:
        arrays: By name, as above; others are ignored.
        spec: The policy's observations and actions.
        unread: Names of the dataset's other arrays, one of which may be misspelled.

    Raises:
        UnsuitableDataError: Something is missing, or does not fit the spaces.
    """
    _require_names([*arrays, *unread], spec)
    num = len(_array(arrays, _name(OBSERVATIONS, spec.observation.leaves[0].path)))
    seen = {leaf.path: _observed(arrays, leaf, num) for leaf in spec.observation.leaves}
    rows = spec.observation.empty(num)
    row_writer(spec.observation, rows)(slice(None), nested(seen))
    actions = spec.action.empty(num)
    start = 0
    for leaf in spec.action.leaves:
        columns = _encoded(arrays, leaf, num)
        if spec.action.is_one_choice:
            actions[:] = columns[:, 0]
        else:
            actions[:, start : start + leaf.size] = columns
        start += leaf.size
    lengths = _lengths(arrays, num)
    return Trajectories(
        policy_version=0,
        observations=rows,
        actions=actions,
        rewards=np.zeros(num),
        behavior_log_probs=np.zeros(num, np.float32),
        episode_lengths=lengths,
        terminated=np.ones(len(lengths), np.bool_),
        truncated=np.zeros(len(lengths), np.bool_),
        final_observations=rows[np.cumsum(lengths) - 1],
        action_masks=_masks(arrays, spec, actions),
    )


def _name(part: str, path: Path) -> str:
    return "/".join(map(str, (part, *path)))


def _require_names(names: Collection[str], spec: EnvironmentSpec) -> None:
    """Refuse a dataset without a needed array, or with one that is misspelled."""
    needed = [
        *(_name(OBSERVATIONS, leaf.path) for leaf in spec.observation.leaves),
        *(_name(ACTIONS, leaf.path) for leaf in spec.action.leaves),
        *([_name_of_masks(spec)] if spec.action_mask else []),
    ]
    absent = [name for name in needed if name not in names]
    if absent:
        there, all_needed = (", ".join(map(repr, each)) or "none" for each in (names, needed))
        raise UnsuitableDataError(
            f"the data has no array {' or '.join(map(repr, absent))}; there are: {there}; needed "
            f"are: {all_needed}"
        )
    for name in names:
        near = suggestion(name, {LENGTHS} - {*names}, cutoff=0.85)
        if near:
            raise UnsuitableDataError(f"the array {name!r} would not be used; {near}")


def _name_of_masks(spec: EnvironmentSpec) -> str:
    return MASKS if spec.action_mask == "info" else f"{OBSERVATIONS}/{MASK_KEY}"


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = np.asarray(arrays[name])
    if array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
        raise UnsuitableDataError(
            f"{name} must be an array of numbers with a row per pair, but is {array.dtype} of "
            f"shape {array.shape}"
        )
    return array


def _rows(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return [*shape] an array of finite numbers.

    Raises:
        UnsuitableDataError: It has a different shape, or holds a NaN or an infinity.
    """
    array = _array(arrays, name)
    if array.shape != shape:
        raise UnsuitableDataError(f"{name} has shape {array.shape}, but the space requires {shape}")
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(array.astype(np.float32))
    _refuse(name, array, ~is_finite, "not a finite 32-bit number")
    return array


def _refuse(name: str, array: NDArray[Any], is_wrong: NDArray[np.bool_], why: str) -> None:
    if is_wrong.any():
        place = np.unravel_index(int(is_wrong.argmax()), is_wrong.shape)
        inner = f" at {list(map(int, place[1:]))}" if place[1:] else ""
        raise UnsuitableDataError(
            f"row {place[0]} of {name} holds {array[place]}{inner}: {why} ({int(is_wrong.sum()):,} "
            f"of {is_wrong.size:,} values)"
        )


def _observed(arrays: Mapping[str, NDArray[Any]], leaf: ObservationLeaf, num: int) -> NDArray[Any]:
    name = _name(OBSERVATIONS, leaf.path)
    array = _rows(arrays, name, (num, *leaf.shape))
    if leaf.kind == "pixels" and array.dtype != np.uint8:
        raise UnsuitableDataError(f"{name} is {array.dtype}, but pixels must be uint8")
    if leaf.kind == "categories":
        _require_categories(name, array, leaf)
    return array


def _require_categories(name: str, array: NDArray[Any], leaf: ObservationLeaf | ActionLeaf) -> None:
    starts, counts = (np.reshape(x, leaf.shape) for x in (leaf.starts, leaf.counts))
    outside = (array < starts) | (array >= starts + counts) | (array != np.floor(array))
    span = f"{starts.min()} to {(starts + counts).max() - 1}"
    _refuse(name, array, outside, f"the space has integers from {span}")


def _encoded(arrays: Mapping[str, NDArray[Any]], leaf: ActionLeaf, num: int) -> NDArray[Any]:
    """Return [num, size] the actions in the policy's form."""
    name = _name(ACTIONS, leaf.path)
    array = _rows(arrays, name, (num, *leaf.shape))
    if leaf.kind == "gaussian":
        return _unsquashed(name, array.reshape(num, leaf.size).astype(np.float64), leaf)
    if leaf.kind == "binary":
        _refuse(name, array, (array != 0) & (array != 1), "the space has 0 and 1")
        return array.reshape(num, leaf.size)
    _require_categories(name, array, leaf)
    choices: NDArray[np.int64] = array.reshape(num, leaf.size).astype(np.int64)
    return choices - np.array(leaf.starts, np.int64)


def _unsquashed(name: str, numbers: NDArray[np.float64], leaf: ActionLeaf) -> NDArray[np.float64]:
    """Return the numbers before the tanh, for components with two bounds."""
    low, high, squashed = np.array(leaf.low), np.array(leaf.high), np.array(leaf.is_squashed)
    finite = [abs(bound) for bound in (*leaf.low, *leaf.high) if np.isfinite(bound)]
    slack = _ROUNDING * max(finite, default=0.0)
    bounds = f"the space goes from {min(leaf.low):g} to {max(leaf.high):g}"
    _refuse(name, numbers, (numbers < low - slack) | (numbers > high + slack), bounds)
    low, high = low[squashed], high[squashed]
    shares = (numbers[:, squashed] - (low + high) / 2) / ((high - low) / 2)
    numbers = numbers.copy()
    numbers[:, squashed] = np.arctanh(np.clip(shares, -_EDGE, _EDGE))
    return numbers


def _lengths(arrays: Mapping[str, NDArray[Any]], num: int) -> NDArray[np.int64]:
    if LENGTHS not in arrays:
        return np.ones(num, np.int64)
    lengths = _array(arrays, LENGTHS)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.sum() != num:
        raise UnsuitableDataError(
            f"{LENGTHS} are {lengths.dtype} of shape {lengths.shape} with sum {lengths.sum()}; it "
            f"must hold integers [E] with sum {num}"
        )
    _refuse(LENGTHS, lengths, lengths < 1, "every episode needs at least one step")
    return lengths.astype(np.int64)


def _masks(
    arrays: Mapping[str, NDArray[Any]], spec: EnvironmentSpec, actions: NDArray[Any]
) -> NDArray[np.bool_] | None:
    """Return [num, num_choices] the masks, after checking that each action is allowed."""
    if spec.action_mask is None:
        return None
    name = _name_of_masks(spec)
    masks = _rows(arrays, name, (len(actions), spec.action.num_choices)).astype(np.bool_)
    chosen = actions.reshape(len(actions), -1) + np.array(spec.action.choice_starts)
    is_allowed = np.take_along_axis(masks, chosen, axis=1)
    starts = np.concatenate([leaf.starts for leaf in spec.action.leaves])
    values = actions.reshape(is_allowed.shape) + starts
    _refuse(ACTIONS, values, ~is_allowed, f"{name} forbids it")
    return masks
