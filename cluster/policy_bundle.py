"""A trained policy as plain files that anybody can read: numbers, a description and a program."""

import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from cluster.errors import UsageError
from cluster.trained_policy import TrainedPolicy
from learner.policy import OBSERVATION_LIMIT
from workers.rollout_worker import architecture_of
from workers.witness import Step

_README = """\
# A policy for {environment}

Trained with REINFORCE: run `{run}`, update {update}, after {environment_steps} steps.

| file | holds |
| --- | --- |
| `predict.py` | the policy as a program; needs `numpy` and `safetensors` |
| `policy.safetensors` | its weights |
| `policy.json` | its observations, actions and layers |
| `episodes.jsonl` | steps that the trained policy took: an observation and an action per line |
{onnx}
```python
from predict import Policy

policy = Policy()
action = policy.act(observation)                                # the most probable action
action = policy.act(observation, numpy.random.default_rng(0))   # a sampled one, as in training
```

`python predict.py` acts on every observation of `episodes.jsonl` again and fails if one action
differs. Wrappers of the environment belong to the environment: the policy expects what they make.
"""


def describe(policy: TrainedPolicy) -> dict[str, Any]:
    """Return what a program has to know of a policy besides its weights.

    Raises:
        UsageError: The kind of policy cannot be exported.
    """
    config, spec = policy.config, policy.spec
    if config.policy.kind != "mlp":
        raise UsageError(
            f"policy.kind = {config.policy.kind!r} cannot be exported yet; only mlp can"
        )
    if spec.observation.pixel_leaves or spec.action_mask:
        what = "observations of pixels" if spec.observation.pixel_leaves else "action masks"
        raise UsageError(f"policies with {what} cannot be exported yet")
    architecture = architecture_of(config, spec)
    return {
        "format": 1,
        "environment": config.environment.id,
        "run": policy.run.name,
        "update": policy.weights.version,
        "environment_steps": policy.environment_steps,
        "weights_sha256": policy.weights.sha256,
        "observation": [asdict(leaf) for leaf in spec.observation.leaves],
        "observation_limit": OBSERVATION_LIMIT,
        "action": [_with_plain_bounds(asdict(leaf)) for leaf in spec.action.leaves],
        "activation": architecture.activation,
        "num_layers": len(architecture.layer_sizes),
    }


def _with_plain_bounds(leaf: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: there None stands for no bound."""
    for name in ("low", "high"):
        leaf[name] = [bound if np.isfinite(bound) else None for bound in leaf[name]]
    return leaf


def tensors_of(policy: TrainedPolicy) -> dict[str, NDArray[np.float32]]:
    """Return the weights by name, as ``PolicyArchitecture.parameter_shapes`` orders them.

    ``layers.I.weight`` [out, in] and ``layers.I.bias`` [out]; ``log_std`` where an action is a real
    number; ``observation.mean`` and ``observation.inverse_deviation`` where they are normalised.
    """
    architecture = architecture_of(policy.config, policy.spec)
    shapes = architecture.parameter_shapes
    names = [
        *(["log_std"] if architecture.action.num_gaussians else []),
        *(
            f"layers.{layer}.{part}"
            for layer in range(len(architecture.layer_sizes))
            for part in ("weight", "bias")
        ),
        *(
            ["observation.mean", "observation.inverse_deviation"]
            if architecture.normalize_observations
            else []
        ),
    ]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(policy.weights.values, ends[:-1])
    return {
        name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)
    }


def write_bundle(
    folder: Path, policy: TrainedPolicy, steps: list[Step], *, has_onnx: bool
) -> dict[str, Any]:
    """Write all files but ``policy.onnx`` into an empty folder and return the description."""
    about = describe(policy)
    (folder / "policy.safetensors").write_bytes(save(tensors_of(policy)))
    _write(folder / "policy.json", json.dumps(about, indent=2) + "\n")
    lines = [
        json.dumps({"observation": _plain(observation), "action": _plain(action)})
        for observation, action in steps
    ]
    _write(folder / "episodes.jsonl", "\n".join(lines) + "\n")
    onnx = "| `policy.onnx` | the same as a graph for ONNX Runtime |\n" if has_onnx else ""
    _write(folder / "README.md", _README.format(**about, onnx=onnx))
    program = resources.files("cluster") / "bundle" / "predict.py"
    _write(folder / "predict.py", program.read_text(encoding="utf-8"))
    return about


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return an observation or an action as JSON holds it; float32 survive bit by bit."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
