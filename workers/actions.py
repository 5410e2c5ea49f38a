"""From a policy's rows to the actions that an environment takes: bounds, numbering and nesting."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.spaces import ActionLayout, ActionLeaf, Path


class ActionDecoder:
    """Turns rows of ``ActionLayout`` into actions of the environment."""

    def __init__(self, layout: ActionLayout) -> None:
        self._layout = layout
        self._is_one_choice = layout.is_one_choice
        self._start = layout.leaves[0].starts[0] if layout.is_one_choice else 0
        self._dtype = np.dtype(layout.leaves[0].dtype)
        self._paths = [leaf.path for leaf in layout.leaves]
        self._decoders = [_leaf_decoder(leaf) for leaf in layout.leaves]

    def batch(self, actions: NDArray[Any]) -> Any:
        """Return [n, ...] actions as a vector environment takes them: nested, then batched."""
        if self._is_one_choice:
            return (actions + self._start).astype(self._dtype, copy=False)
        values, start = [], 0
        for leaf, decode in zip(self._layout.leaves, self._decoders, strict=True):
            values.append(decode(actions[:, start : start + leaf.size]))
            start += leaf.size
        return _nested(self._paths, values)

    def singles(self, actions: NDArray[Any]) -> list[Any]:
        """Return n actions, one for each single environment."""
        if self._is_one_choice:
            singles: list[Any] = (actions + self._start).tolist()
            return singles
        return _unbatched(self.batch(actions), len(actions))


def _leaf_decoder(leaf: ActionLeaf) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function from [n, size] columns to [n, *shape] values of the environment."""
    dtype, shape = np.dtype(leaf.dtype), leaf.shape
    if leaf.kind == "gaussian":
        low, high, squashed = np.array(leaf.low), np.array(leaf.high), np.array(leaf.is_squashed)
        middle, half = np.zeros(leaf.size), np.ones(leaf.size)
        middle[squashed] = 0.5 * (low[squashed] + high[squashed])
        half[squashed] = 0.5 * (high[squashed] - low[squashed])

        def decode_numbers(columns: NDArray[Any]) -> NDArray[Any]:
            numbers = columns.astype(np.float64)
            np.tanh(numbers, out=numbers, where=squashed)
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


def _nested(paths: list[Path], values: list[Any]) -> Any:
    if paths == [()]:
        return values[0]
    groups: dict[str | int, tuple[list[Path], list[Any]]] = {}
    for path, value in zip(paths, values, strict=True):
        rest, inner = groups.setdefault(path[0], ([], []))
        rest.append(path[1:])
        inner.append(value)
    nested = {key: _nested(*group) for key, group in groups.items()}
    is_tuple = isinstance(next(iter(nested)), int)
    return tuple(nested.values()) if is_tuple else nested


def _unbatched(batch: Any, num_rows: int) -> list[Any]:
    if isinstance(batch, dict):
        parts = [_unbatched(part, num_rows) for part in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*parts, strict=True)]
    if isinstance(batch, tuple):
        return list(zip(*(_unbatched(part, num_rows) for part in batch), strict=True))
    return list(batch)
