"""A fully connected policy as an ONNX graph: five kinds of nodes, which need no exporter."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import UsageError

_OPSET = 17
"""Of 2022: every runtime in use knows it."""


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
    """Write the graph: ``observation`` [n, ...] float32 -> ``action`` [n] int64, ``logits``.

    Args:
        path: The file.
        about: Description of the policy, as in ``policy.json``.
        tensors: Its weights by name.

    Raises:
        UsageError: Its spaces are other than one array of numbers and one choice.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save_model

    observation, action = _only_leaves(about)
    start = np.array(action["starts"][0], np.int64)
    nodes = [helper.make_node("Flatten", ["observation"], ["hidden"], axis=1)]
    hidden = "hidden"
    for layer in range(about["num_layers"]):
        if layer > 0:
            kind = {"tanh": "Tanh", "relu": "Relu"}[about["activation"]]
            nodes.append(helper.make_node(kind, [hidden], [f"active.{layer}"]))
            hidden = f"active.{layer}"
        is_last = layer == about["num_layers"] - 1
        output = "logits" if is_last else f"layer.{layer}"
        names = [hidden, f"layers.{layer}.weight", f"layers.{layer}.bias"]
        nodes.append(helper.make_node("Gemm", names, [output], transB=1))
        hidden = output
    nodes.append(helper.make_node("ArgMax", ["logits"], ["choice"], axis=1, keepdims=0))
    nodes.append(helper.make_node("Add", ["choice", "first_action"], ["action"]))
    shape = ["n", *observation["shape"]]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("action", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", action["counts"][0]]),
        ],
        [
            *(numpy_helper.from_array(array, name) for name, array in tensors.items()),
            numpy_helper.from_array(start, "first_action"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    checker.check_model(model, full_check=True)
    save_model(model, str(path))


def actions_of_onnx(path: Path, observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return [n] what the graph does on [n, ...] observations, one by one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    actions = [session.run(["action"], {"observation": row[None]})[0][0] for row in observations]
    return np.array(actions, np.int64)


def _only_leaves(about: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    (observation, *more_seen), (action, *more_done) = about["observation"], about["action"]
    is_plain = observation["kind"] == "numbers" and action["kind"] == "categorical"
    if more_seen or more_done or not is_plain or action["shape"]:
        raise UsageError(
            "--onnx knows policies that see one Box and take one Discrete action; "
            "leave it out: predict.py acts with all of them"
        )
    return observation, action
