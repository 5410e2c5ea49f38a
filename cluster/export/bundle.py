"""A trained policy as plain files: numbers, a description and a program."""

import base64
import json
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from reinforce.cluster.export.description import describe, network_of
from reinforce.cluster.export.drawn_steps import Step
from reinforce.cluster.export.onnx_graph import OPSET, write_onnx
from reinforce.cluster.export.readme import readme
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.run_store.checkpoint import encode
from reinforce.cluster.run_store.checkpoints import PORTABLE_CHECKPOINT
from reinforce.learner.policies.spaces import Path as LeafPath


def write_bundle(
    folder: Path, policy: TrainedPolicy, steps: list[Step], *, onnx: bool
) -> dict[str, Any]:
    """Write all files into an empty folder and return the description in ``policy.json``.

    Raises:
        UnexportableNetworkError: Torch cannot export the network of the user's own class.
    """
    about, tensors = describe(policy)
    texts = {
        "policy.json": json.dumps(about, indent=2) + "\n",
        "steps.jsonl": "".join(_line(about, step) for step in steps),
        "README.md": readme(about, has_onnx=onnx),
        "predict.py": Path(__file__).with_name("predict.py").read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if about["program"]:
        from reinforce.learner.networks.exported import write_program

        write_program(folder / about["program"], network_of(policy), policy.config.policy.kind)
    else:
        (folder / "policy.safetensors").write_bytes(save(tensors))
    (folder / PORTABLE_CHECKPOINT).write_bytes(encode(policy.portable()))
    if onnx:
        write_onnx(folder / "policy.onnx", about, tensors, partial(_write_own_network, policy))
    return about


def _write_own_network(
    policy: TrainedPolicy, file: Path, inputs: list[str], outputs: list[str]
) -> None:
    from reinforce.learner.networks.exported import write_network_graph

    kind = policy.config.policy.kind
    write_network_graph(file, network_of(policy), kind, (inputs, outputs), OPSET)


def _line(about: dict[str, Any], step: Step) -> str:
    """Return a step as a line of JSON, with compressed pixels."""
    paths = [tuple(leaf["path"]) for leaf in about["observation"] if leaf["kind"] == "pixels"]
    values = {
        "observation": _plain(step.observation, paths),
        "action": _plain(step.action),
        **({"mask": _plain(step.mask)} if about["action_mask"] == "info" else {}),
        **({"begins": True} if step.begins else {}),
    }
    return json.dumps(values) + "\n"


def _plain(value: Any, packed: Sequence[LeafPath] = (), path: LeafPath = ()) -> Any:
    """Return an observation or an action for JSON, which preserves every bit of float32."""
    if path in packed:
        pixels = np.ascontiguousarray(value, np.uint8)
        return base64.b64encode(zlib.compress(pixels.tobytes())).decode()
    if isinstance(value, dict):
        return {key: _plain(part, packed, (*path, key)) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part, packed, (*path, index)) for index, part in enumerate(value)]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
