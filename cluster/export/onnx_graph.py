"""A policy as an ONNX graph: a few kinds of nodes, which need no exporter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.errors import UsageError
from reinforce.configs.learning import Channels
from reinforce.learner.policies.architecture import image_size

_OPSET = 17
"""Of 2022: every runtime in use knows it."""

_Step = tuple[str, list[str], dict[str, Any]]
"""Kind of a node, its inputs but for the result of the step before, and its attributes."""


def check_onnx_support() -> None:
    """Raise UsageError if what writes and checks graphs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UsageError(
            "--onnx needs the extra `onnx`: pip install 'distributed-reinforce[onnx]'"
        ) from None


def write_onnx(path: Path, about: dict[str, Any], tensors: dict[str, NDArray[np.float32]]) -> None:
    """Write the graph: ``observation`` [n, ...] -> ``action`` [n] int64, ``logits`` float32.

    Observations are float32, or uint8 if they are images. Description and weights of the policy are
    those of ``describe``.

    Raises:
        UsageError: Its spaces are other than one array and one choice, or it remembers.
    """
    from onnx import TensorProto, checker, helper, save_model

    observation, action = _only_leaves(about)
    nodes, constants = _nodes(about, tensors)
    named = helper.make_tensor_value_info
    seen = TensorProto.UINT8 if observation["kind"] == "pixels" else TensorProto.FLOAT
    inputs = [named("observation", seen, ["n", *observation["shape"]])]
    outputs = [
        named("action", TensorProto.INT64, ["n"]),
        named("logits", TensorProto.FLOAT, ["n", action["counts"][0]]),
    ]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    checker.check_model(model, full_check=True)
    save_model(model, str(path))


def _nodes(
    about: dict[str, Any], tensors: dict[str, NDArray[np.float32]]
) -> tuple[list[Any], list[Any]]:
    """Return the nodes from ``observation`` to ``action``, and the constants that they name."""
    from onnx import helper, numpy_helper

    first_action = np.array(about["action"][0]["starts"][0], np.int64)
    constants: dict[str, NDArray[Any]] = {**tensors, "first_action": first_action}
    is_image = about["observation"][0]["kind"] == "pixels"
    steps = _image_steps(about, constants) if is_image else []
    steps.append(("Flatten", [], {"axis": 1}))
    if "observation.mean" in tensors:
        limit = np.array(about["observation_limit"], np.float32)
        constants |= {"lowest": -limit, "highest": limit}
        steps += [
            ("Sub", ["observation.mean"], {}),
            ("Mul", ["observation.inverse_deviation"], {}),
            ("Clip", ["lowest", "highest"], {}),
        ]
    for layer in range(about["num_layers"]):
        if layer > 0:
            steps.append(_activation(about))
        names = [f"layers.{layer}.weight", f"layers.{layer}.bias"]
        steps.append(("Gemm", names, {"transB": 1}))
    nodes, result = [], "observation"
    for number, (kind, others, attributes) in enumerate(steps):
        output = "logits" if number == len(steps) - 1 else f"step.{number}"
        nodes.append(helper.make_node(kind, [result, *others], [output], **attributes))
        result = output
    nodes.append(helper.make_node("ArgMax", ["logits"], ["choice"], axis=1, keepdims=0))
    nodes.append(helper.make_node("Add", ["choice", "first_action"], ["action"]))
    return nodes, [numpy_helper.from_array(array, name) for name, array in constants.items()]


def _image_steps(about: dict[str, Any], constants: dict[str, NDArray[Any]]) -> list[_Step]:
    """Return the steps from a uint8 image to its features; their constants are added."""
    from onnx import TensorProto

    constants["white"] = np.array(255, np.float32)
    steps: list[_Step] = [("Cast", [], {"to": TensorProto.FLOAT}), ("Div", ["white"], {})]
    if not about["images"]:
        return steps
    shape = tuple(about["observation"][0]["shape"])
    if about["channels_are_last"][0]:
        *stack, height, width, channels = range(len(shape) + 1)
        steps.append(("Transpose", [], {"perm": [*stack, channels, height, width]}))
    place: Channels = "last" if about["channels_are_last"][0] else "first"
    constants["image"] = np.array([0, *image_size(shape, place)], np.int64)  # 0 keeps the rows
    steps.append(("Reshape", ["image"], {}))
    for layer, options in enumerate(about["images"][0]):
        strides, pads = options["stride"], [options["padding"]] * 4
        names = [f"images.0.{layer}.weight", f"images.0.{layer}.bias"]
        steps += [("Conv", names, {"strides": strides, "pads": pads}), _activation(about)]
    return steps


def _activation(about: dict[str, Any]) -> _Step:
    return {"tanh": "Tanh", "relu": "Relu"}[about["activation"]], [], {}


def actions_of_onnx(path: Path, observations: Sequence[Any]) -> NDArray[np.int64]:
    """Return [n] what the graph does on n observations, one by one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    dtype = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.float32
    rows = np.array(observations, dtype)[:, None]
    return np.array([session.run(["action"], {"observation": row})[0][0] for row in rows])


def _only_leaves(about: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    (observation, *more_seen), (action, *more_done) = about["observation"], about["action"]
    is_plain = observation["kind"] != "categories" and action["kind"] == "categorical"
    is_asked_more = about["memory"] or about["action_mask"]
    if more_seen or more_done or not is_plain or action["shape"] or is_asked_more:
        raise UsageError(
            "--onnx knows policies that see one Box and take one Discrete action, without memory "
            "and masks; leave it out: predict.py acts with all of them"
        )
    return observation, action
