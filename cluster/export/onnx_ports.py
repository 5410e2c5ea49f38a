"""The inputs and outputs of a policy's ONNX graph: their names, dtypes and shapes."""

from math import prod
from typing import Any, NamedTuple

from reinforce.learner.policies.spaces import Path

_DTYPES = {"numbers": "float32", "pixels": "uint8", "categories": "int64"}


class Port(NamedTuple):
    """One input or output.

    Attributes:
        name: Its name in the graph.
        dtype: NumPy's name of its type.
        shape: Its shape without the rows, which come first.
        path: Its place in the observation or action; None if it is not a part of them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path | None = None


def input_ports(about: dict[str, Any]) -> list[Port]:
    """Return a port for each part of the observation, then ``mask`` and ``memory`` if present.

    A part's name consists of its keys with points between them; "observation." is prefixed if
    another port has that name, such as "action".
    """
    others = [*_mask_and_memory(about), *output_ports(about)]
    taken = {port.name for port in others}
    ports = []
    for leaf in about["observation"]:
        name = ".".join(map(str, leaf["path"])) or "observation"
        name = f"observation.{name}" if name in taken else name
        path, shape = tuple(leaf["path"]), tuple(leaf["shape"])
        ports.append(Port(name, _DTYPES[leaf["kind"]], shape, path))
    return ports + _mask_and_memory(about)


def output_ports(about: dict[str, Any]) -> list[Port]:
    """Return a port for each part of the action, then its parameters and the new memory."""
    ports = []
    for leaf in about["action"]:
        path, shape = tuple(leaf["path"]), tuple(leaf["shape"])
        dtype = leaf["dtype"] if shape else "int64"  # one choice is a number of Python
        ports.append(Port(".".join(map(str, ("action", *path))), dtype, shape, path))
    num_gaussians = sum(prod(x["shape"]) for x in about["action"] if x["kind"] == "gaussian")
    num_outputs = sum(size for leaf in about["action"] for size in component_sizes(leaf))
    ports.append(Port(parameters_name(about), "float32", (num_outputs + num_gaussians,)))
    if about["memory"]:
        ports.append(Port("next_memory", "float32", (about["memory"],)))
    return ports


def parameters_name(about: dict[str, Any]) -> str:
    """Return ``logits``, or ``parameters`` if they include means and deviations."""
    is_continuous = any(leaf["kind"] == "gaussian" for leaf in about["action"])
    return "parameters" if is_continuous else "logits"


def component_sizes(leaf: dict[str, Any]) -> list[int]:
    """Return the number of logits or means of each distribution in a part of the action."""
    return list(leaf["counts"]) if leaf["kind"] == "categorical" else [prod(leaf["shape"])]


def _mask_and_memory(about: dict[str, Any]) -> list[Port]:
    num_choices = sum(sum(leaf["counts"]) for leaf in about["action"])
    ports = [Port("mask", "bool", (num_choices,))] if about["action_mask"] else []
    return ports + ([Port("memory", "float32", (about["memory"],))] if about["memory"] else [])
