"""A builder for ONNX nodes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = str | NDArray[Any]
"""The name of a value in the graph, or an array that becomes a constant."""


class Nodes:
    """The nodes and constants of a graph, in order of computation.

    Attributes:
        nodes: In ONNX's form.
        constants: Likewise.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: Value, name: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its result."""
        name = name or self._new_name()
        self._append(kind, inputs, [name], attributes)
        return name

    def split(self, values: Value, sizes: list[int]) -> list[str]:
        """Return the names of groups of columns."""
        names = [f"{self._new_name()}.{index}" for index in range(len(sizes))]
        self._append("Split", (values, np.array(sizes, np.int64)), names, {"axis": 1})
        return names

    def gru(self, values: Value, memory: Value, *weights: Value) -> str:
        """Return the name of the [1, n, memory] state after one step."""
        state = self._new_name()
        size = len(weights[1][0]) // 3
        attributes = {"hidden_size": size, "linear_before_reset": 1}
        self._append("GRU", (values, *weights, "", memory), ["", state], attributes)
        return state

    def joined(self, parts: list[str]) -> str:
        """Return the name of all columns side by side."""
        return self.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def _append(
        self, kind: str, inputs: tuple[Value, ...], outputs: list[str], attributes: dict[str, Any]
    ) -> None:
        from onnx import helper

        names = [part if isinstance(part, str) else self._constant(part) for part in inputs]
        self.nodes.append(helper.make_node(kind, names, outputs, **attributes))

    def _new_name(self) -> str:
        return f"/value.{len(self.nodes)}"

    def _constant(self, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"/constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name
