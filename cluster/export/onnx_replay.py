"""Compares an ONNX graph with the policy on recorded steps."""

from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.export.drawn_steps import Step
from reinforce.cluster.export.onnx_ports import Port, input_ports, output_ports
from reinforce.cluster.export.predict import is_equal
from reinforce.learner.policies.spaces import Path as LeafPath
from reinforce.workers.spaces import MASK_KEY


def different_steps(path: Path, about: dict[str, Any], steps: Sequence[Step]) -> list[int]:
    """Return the indices of the steps in which the graph acts differently.

    Args:
        path: The graph.
        about: Description of the policy from ``describe``.
        steps: The steps in order of their episodes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    actions = [port for port in output_ports(about) if port.path is not None]
    names = [port.name for port in actions] + (["next_memory"] if about["memory"] else [])
    memory = no_memory = np.zeros((1, about["memory"]), np.float32)
    different = []
    for number, step in enumerate(steps):
        if step.begins:
            memory = no_memory
        inputs = inputs_of(about, step, memory)
        results = session.run(names, inputs)
        if about["memory"]:
            memory = results[-1]
        parts = zip(about["action"], actions, results, strict=False)
        if not all(is_equal(leaf, found[0], _at(step.action, port)) for leaf, port, found in parts):
            different.append(number)
    return different


def inputs_of(about: dict[str, Any], step: Step, memory: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return a step's inputs by name, [1, ...] each."""
    inputs = {}
    for port in input_ports(about):
        if port.path is not None:
            value = _at(step.observation, port)
        elif port.name == "mask":
            value = step.observation[MASK_KEY] if step.mask is None else step.mask
        else:
            value = memory[0]
        inputs[port.name] = np.asarray(value).astype(port.dtype)[None]
    return inputs


def _at(value: Any, port: Port) -> Any:
    path: LeafPath = port.path or ()
    return reduce(getitem, path, value)
