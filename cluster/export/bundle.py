"""A trained policy as plain files that anybody can read: numbers, a description and a program."""

import base64
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from reinforce.cluster.export.drawn_steps import Step
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.learner.policies.architecture import channels_are_last
from reinforce.learner.policies.normalizer import OBSERVATION_LIMIT
from reinforce.learner.policies.spaces import Path as LeafPath
from reinforce.workers.rollout_worker import architecture_of

if TYPE_CHECKING:
    from reinforce.learner.networks.network import PolicyNetwork

_README = """\
# A policy for {environment}

Trained with REINFORCE: run `{run}`, update {update}, after {environment_steps} steps.

| file | holds |
| --- | --- |
| `predict.py` | the policy as a program; needs `numpy` and `safetensors` |
| `policy.safetensors` | its weights |
| `policy.json` | its observations, actions and layers |
| `steps.jsonl` | observations drawn at random, and the action that the trained policy takes |
{onnx}
```python
from predict import Policy

policy = Policy()
action = policy.act(observation)                                # the most probable action
action = policy.act(observation, numpy.random.default_rng(0))   # a sampled one, as in training
```
{notes}

`python predict.py` acts on every observation of `steps.jsonl` again and fails if one action
differs. Wrappers of the environment belong to the environment: the policy expects what they make.
"""


def describe(policy: TrainedPolicy) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return what a program has to know of a policy: its description, and its weights by name.

    This needs Torch; what is written does not. The names: ``layers.I.weight`` [out, in] and
    ``layers.I.bias`` [out]; of image I and its convolution J ``images.I.J.weight`` [out, in,
    height, width] and ``.bias``; ``gru.weight_ih`` and its like, as Torch orders them; ``log_std``
    where an action is a real number; ``observation.mean`` and ``observation.inverse_deviation``
    where they are normalised.
    """
    from reinforce.learner.networks.network import loaded_network

    config, spec = policy.config, policy.spec
    architecture = architecture_of(config, spec)
    network = loaded_network(architecture, policy.weights)
    hidden = config.policy.hidden_sizes
    remembers = config.policy.kind == "gru"
    about = {
        "format": 2,
        "environment": config.environment.id,
        "run": policy.run.name,
        "update": policy.weights.version,
        "environment_steps": policy.environment_steps,
        "weights_sha256": policy.weights.sha256,
        "observation": [asdict(leaf) for leaf in spec.observation.leaves],
        "observation_limit": OBSERVATION_LIMIT,
        "action": [_with_plain_bounds(asdict(leaf)) for leaf in spec.action.leaves],
        "action_mask": spec.action_mask,
        "activation": config.policy.activation,
        "images": _convolutions_of(network),
        "channels_are_last": [
            channels_are_last(leaf.shape, architecture.channels)
            for leaf in spec.observation.pixel_leaves
        ],
        "num_layers": len(hidden) + (0 if remembers else 1),
        "memory": hidden[-1] if remembers else 0,
    }
    tensors = {
        _plain_name(name, len(hidden) - 1): parameter.detach().numpy()
        for name, parameter in network.named_parameters()
    }
    if architecture.num_statistics:
        mean, scale = np.split(policy.weights.values[-architecture.num_statistics :], 2)
        tensors |= {"observation.mean": mean, "observation.inverse_deviation": scale}
    return about, tensors


def _with_plain_bounds(leaf: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: there None stands for no bound."""
    for name in ("low", "high"):
        leaf[name] = [bound if np.isfinite(bound) else None for bound in leaf[name]]
    return leaf


def _convolutions_of(network: "PolicyNetwork") -> list[list[dict[str, Any]]]:
    """Return the stride in (height, width) and the padding of each convolution over each image."""
    encoders: dict[str, list[dict[str, Any]]] = {}
    for name, module in network.named_modules():
        if hasattr(module, "stride"):
            options = {"stride": module.stride, "padding": module.padding[0]}
            encoders.setdefault(name.partition(".layers")[0], []).append(options)
    return list(encoders.values())


def _plain_name(name: str, num_dense: int) -> str:
    """Return the name of a parameter, counting layers and not the activations between them."""
    if name == "log_stds":
        return "log_std"
    name = name.removeprefix("body.").removesuffix("_l0")
    name = name.replace("last.0", f"layers.{2 * num_dense}")
    return re.sub(
        r"(features\.)?(images\.\d+\.)?layers\.(\d+)",
        lambda found: f"{found[2] or 'layers.'}{int(found[3]) // 2}",
        name,
    )


def write_bundle(
    folder: Path, policy: TrainedPolicy, steps: list[Step], *, has_onnx: bool
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Write all files but ``policy.onnx`` into an empty folder; return description and weights."""
    about, tensors = describe(policy)
    onnx = "| `policy.onnx` | the same as a graph for ONNX Runtime |\n" if has_onnx else ""
    notes = ""
    if about["memory"]:
        notes += "\nIt remembers: call `policy.begin()` at the start of every episode.\n"
    if about["action_mask"] == "info":
        notes += "\nGive it what is allowed: `policy.act(observation, mask=info['action_mask'])`.\n"
    texts = {
        "policy.json": json.dumps(about, indent=2) + "\n",
        "steps.jsonl": "".join(_line(about, step) for step in steps),
        "README.md": _README.format(**about, onnx=onnx, notes=notes),
        "predict.py": Path(__file__).with_name("predict.py").read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "policy.safetensors").write_bytes(save(tensors))
    return about, tensors


def _line(about: dict[str, Any], step: Step) -> str:
    """Return a step as a line of JSON; pixels, of which there are many, are packed."""
    paths = [tuple(leaf["path"]) for leaf in about["observation"] if leaf["kind"] == "pixels"]
    values = {
        "observation": _plain(step.observation, paths),
        "action": _plain(step.action),
        **({"mask": _plain(step.mask)} if about["action_mask"] == "info" else {}),
        **({"begins": True} if step.begins else {}),
    }
    return json.dumps(values) + "\n"


def _plain(value: Any, packed: Sequence[LeafPath] = (), path: LeafPath = ()) -> Any:
    """Return an observation or an action as JSON holds it; float32 survive bit by bit."""
    if path in packed:
        pixels = np.ascontiguousarray(value, np.uint8)
        return base64.b64encode(zlib.compress(pixels.tobytes())).decode()
    if isinstance(value, dict):
        return {key: _plain(part, packed, (*path, key)) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part, packed, (*path, index)) for index, part in enumerate(value)]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
