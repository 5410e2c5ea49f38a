"""A policy as an ONNX graph, written from a few kinds of nodes without an exporter.

Torch writes only the network of a user's own class; the nodes before and after it, from the parts
of the observation and to those of the action, are the same for all.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.onnx_nodes import Nodes
from reinforce.cluster.export.onnx_ports import (
    Port,
    component_sizes,
    input_ports,
    output_ports,
    parameters_name,
)
from reinforce.configs.learning import Channels
from reinforce.learner.policies.architecture import image_size
from reinforce.learner.policies.distributions import IMPOSSIBLE

OPSET = 17
"""The operator set of 2022, which every runtime in use supports."""

Tensors = dict[str, NDArray[np.float32]]

WriteNetwork = Callable[[Path, list[str], list[str]], None]
"""Writes a user's network as a graph with the given names of inputs and outputs."""


def check_onnx_support() -> None:
    """Raise UsageError if the packages for graphs are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UsageError(
            "an ONNX graph needs the extra `onnx`: pip install 'distributed-reinforce[onnx]'"
        ) from None


def write_onnx(
    path: Path, about: dict[str, Any], tensors: Tensors, write_network: WriteNetwork
) -> None:
    """Write the graph with the inputs and outputs of ``onnx_ports``.

    Args:
        path: The file.
        about: Description of the policy from ``describe``.
        tensors: Likewise.
        write_network: Called if the network is the user's own.

    Raises:
        UsageError: Two outputs would have the same name.
    """
    from onnx import checker, helper, save_model

    graph = Nodes()
    inputs, outputs = input_ports(about), output_ports(about)
    twice = [name for name, count in Counter(port.name for port in outputs).items() if count > 1]
    if twice:
        raise UsageError(
            f"an ONNX graph cannot have two outputs named {twice[0]!r}: leave the graph out, or "
            "rename a key of the action's Dict"
        )
    vector, images = _parts(graph, about, inputs)
    if about["program"]:
        _include(graph, about, [*vector, *images], write_network)
    else:
        features = _normalized(graph, about, tensors, vector)
        features += [_seen(graph, about, tensors, image) for image in enumerate(images)]
        _network(graph, about, tensors, graph.joined(features))
    _actions(graph, about)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "policy", _described(inputs), _described(outputs), graph.constants
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    checker.check_model(model, full_check=True)
    save_model(model, str(path))


def _described(ports: list[Port]) -> list[Any]:
    from onnx import helper

    return [
        helper.make_tensor_value_info(port.name, _code(port.dtype), ["n", *port.shape])
        for port in ports
    ]


def _code(dtype: str) -> int:
    """Return ONNX's number for a dtype."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _parts(graph: Nodes, about: dict[str, Any], inputs: list[Port]) -> tuple[list[str], list[str]]:
    """Return the names of the vector of all numbers, if there are any, and of each image."""
    numbers, images = [], []
    for leaf, port in zip(about["observation"], inputs, strict=False):
        if leaf["kind"] == "pixels":
            images.append(port.name)
            continue
        if 0 in port.shape:  # nothing to see
            continue
        flat = graph.add("Flatten", port.name, axis=1)
        if leaf["kind"] == "categories":  # one-hot
            counts, starts = leaf["counts"], leaf["starts"]
            components = np.repeat(np.arange(len(counts)), counts)
            pairs = zip(counts, starts, strict=True)
            values = np.concatenate([start + np.arange(count) for count, start in pairs])
            repeated = graph.add("Gather", flat, components, axis=1)
            flat = graph.add("Cast", graph.add("Equal", repeated, values), to=_code("float32"))
        numbers.append(flat)
    return ([graph.joined(numbers)] if numbers else []), images


def _include(
    graph: Nodes, about: dict[str, Any], parts: list[str], write_network: WriteNetwork
) -> None:
    """Append the network of the user's own class."""
    from onnx import load_model

    remembers = bool(about["memory"])
    inputs = [*parts, *(["memory"] if remembers else [])]
    outputs = [parameters_name(about), *(["next_memory"] if remembers else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        write_network(file, inputs, outputs)
        network = load_model(str(file)).graph
    graph.nodes += network.node
    graph.constants += network.initializer


def _normalized(
    graph: Nodes, about: dict[str, Any], tensors: Tensors, vector: list[str]
) -> list[str]:
    if not vector or "observation.mean" not in tensors:
        return vector
    limit = np.float32(about["observation_limit"])
    centred = graph.add("Sub", *vector, tensors["observation.mean"])
    scaled = graph.add("Mul", centred, tensors["observation.inverse_deviation"])
    return [graph.add("Clip", scaled, np.array(-limit), np.array(limit))]


def _seen(graph: Nodes, about: dict[str, Any], tensors: Tensors, image: tuple[int, str]) -> str:
    """Return the name of an image's features, from its number and name."""
    number, name = image
    seen = graph.add("Div", graph.add("Cast", name, to=_code("float32")), np.array(255, np.float32))
    if about["images"]:
        leaf = [leaf for leaf in about["observation"] if leaf["kind"] == "pixels"][number]
        shape, channels_last = tuple(leaf["shape"]), about["channels_are_last"][number]
        if channels_last:
            *stack, height, width, channels = range(len(shape) + 1)
            seen = graph.add("Transpose", seen, perm=[*stack, channels, height, width])
        place: Channels = "last" if channels_last else "first"
        size = np.array([0, *image_size(shape, place)], np.int64)  # 0 keeps the rows
        seen = graph.add("Reshape", seen, size)
        for layer, options in enumerate(about["images"][number]):
            parameters = [tensors[f"images.{number}.{layer}.{x}"] for x in ("weight", "bias")]
            strides, pads = options["stride"], [options["padding"]] * 4
            seen = graph.add("Conv", seen, *parameters, strides=strides, pads=pads)
            seen = _activated(graph, about, seen)
    return graph.add("Flatten", seen, axis=1)


def _activated(graph: Nodes, about: dict[str, Any], values: str) -> str:
    return graph.add({"tanh": "Tanh", "relu": "Relu"}[about["activation"]], values)


def _network(graph: Nodes, about: dict[str, Any], tensors: Tensors, features: str) -> None:
    """Append the layers, up to the parameters of the distribution."""
    hidden, last = features, about["num_layers"] - 1
    for layer in range(last):
        weight, bias = tensors[f"layers.{layer}.weight"], tensors[f"layers.{layer}.bias"]
        hidden = graph.add("Gemm", hidden, weight, bias, transB=1)
        hidden = _activated(graph, about, hidden)
    if about["memory"]:
        hidden = _remembered(graph, tensors, hidden)
    weight, bias = tensors[f"layers.{last}.weight"], tensors[f"layers.{last}.bias"]
    # Deviations are the same whatever is seen: units without weights.
    deviations = tensors.get("log_std", np.zeros(0, np.float32))
    weight = np.pad(weight, ((0, len(deviations)), (0, 0)))
    bias = np.concatenate([bias, deviations])
    graph.add("Gemm", hidden, weight, bias, transB=1, name=parameters_name(about))


def _remembered(graph: Nodes, tensors: Tensors, values: str) -> str:
    """Append the gated recurrent unit, whose gates ONNX has in another order than Torch."""
    first = np.array([0], np.int64)
    weights, known, *biases = (
        np.concatenate([update, reset, new])
        for reset, update, new in (
            np.split(tensors[f"gru.{name}"], 3)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
    )
    state = graph.gru(
        graph.add("Unsqueeze", values, first),
        graph.add("Unsqueeze", "memory", first),
        *(array[None] for array in (weights, known, np.concatenate(biases))),
    )
    return graph.add("Squeeze", state, first, name="next_memory")


def _actions(graph: Nodes, about: dict[str, Any]) -> None:
    """Append the nodes from the parameters to the greedy action."""
    outputs: str = parameters_name(about)
    if about["action_mask"]:
        outputs = graph.add("Where", "mask", outputs, np.array(IMPOSSIBLE))
    sizes = [component_sizes(leaf) for leaf in about["action"]]
    ports = output_ports(about)
    num_deviations = ports[len(sizes)].shape[0] - sum(map(sum, sizes))
    widths = [size for own in sizes for size in own]
    parts = graph.split(outputs, widths + ([num_deviations] if num_deviations else []))
    kinds = {"categorical": _choices, "binary": _decisions, "gaussian": _numbers}
    for leaf, port, own in zip(about["action"], ports, sizes, strict=False):
        values = kinds[leaf["kind"]](graph, leaf, parts[: len(own)])
        parts = parts[len(own) :]
        cast = graph.add("Cast", values, to=_code(port.dtype))
        graph.add("Reshape", cast, np.array([-1, *port.shape], np.int64), name=port.name)


def _choices(graph: Nodes, leaf: dict[str, Any], logits: list[str]) -> str:
    chosen = graph.joined([graph.add("ArgMax", part, axis=1, keepdims=1) for part in logits])
    return graph.add("Add", chosen, np.array(leaf["starts"], np.int64))


def _decisions(graph: Nodes, leaf: dict[str, Any], logits: list[str]) -> str:
    return graph.add("Greater", *logits, np.array(0, np.float32))


def _numbers(graph: Nodes, leaf: dict[str, Any], means: list[str]) -> str:
    """Append the squashing by tanh into two bounds, and the clipping at a single bound."""
    low, high = (
        np.array([end if bound is None else bound for bound in leaf[name]], np.float64)
        for name, end in (("low", -np.inf), ("high", np.inf))
    )
    both = np.isfinite(low) & np.isfinite(high)
    bottom, top = np.where(both, low, -1.0), np.where(both, high, 1.0)
    numbers = graph.add("Cast", *means, to=_code("float64"))
    squashed = graph.add("Where", both, graph.add("Tanh", numbers), numbers)
    stretched = graph.add("Mul", squashed, (top - bottom) / 2)
    moved = graph.add("Add", stretched, (bottom + top) / 2)
    return graph.add("Min", graph.add("Max", moved, low), high)
