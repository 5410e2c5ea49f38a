"""A policy as plain data for a program: its description and its weights."""

import re
from dataclasses import asdict
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.learner.policies.architecture import channels_are_last
from reinforce.learner.policies.normalizer import OBSERVATION_LIMIT
from reinforce.workers.rollout_worker import architecture_of

if TYPE_CHECKING:
    from reinforce.learner.networks.network import PolicyNetwork


def describe(policy: TrainedPolicy) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return a policy's description, and its weights by name.

    This needs Torch for all kinds but ``mlp``; the result does not, except that a user's own
    network has no weights here. The names: ``layers.I.weight`` [out, in] and ``layers.I.bias``
    [out]; of image I and its convolution J ``images.I.J.weight`` [out, in, height, width] and
    ``.bias``; ``gru.weight_ih`` etc. in Torch's order; ``log_std`` for real-valued actions;
    ``observation.mean`` and ``observation.inverse_deviation`` for normalised observations.
    """
    config, spec = policy.config, policy.spec
    network = None if config.policy.kind == "mlp" else network_of(policy)
    is_own = ":" in config.policy.kind
    about = {
        "format": 2,
        "environment": config.environment.id,
        "run": policy.name,
        "update": policy.weights.version,
        "environment_steps": policy.environment_steps,
        "weights_sha256": policy.weights.sha256,
        "observation": [asdict(leaf) for leaf in spec.observation.leaves],
        "action": [_with_plain_bounds(asdict(leaf)) for leaf in spec.action.leaves],
        "action_mask": spec.action_mask,
        "memory": network.state_size if network else 0,
        "program": "policy.pt2" if is_own else None,
    }
    if is_own:
        return about, {}
    tensors = _tensors(policy, network) if network else _mlp_tensors(policy)
    return about | _layers(policy, network), tensors


def network_of(policy: TrainedPolicy) -> "PolicyNetwork":
    """Return the network with its weights."""
    from reinforce.learner.networks.network import loaded_network

    return loaded_network(architecture_of(policy.config, policy.spec), policy.weights)


def _layers(policy: TrainedPolicy, network: "PolicyNetwork | None") -> dict[str, Any]:
    section, layout = policy.config.policy, policy.spec.observation
    return {
        "observation_limit": OBSERVATION_LIMIT,
        "activation": section.activation,
        "images": _convolutions_of(network) if network else [],
        "channels_are_last": [
            channels_are_last(leaf.shape, section.channels) for leaf in layout.pixel_leaves
        ],
        "num_layers": len(section.hidden_sizes) + (0 if network and network.state_size else 1),
    }


def _mlp_tensors(policy: TrainedPolicy) -> dict[str, NDArray[np.float32]]:
    architecture = architecture_of(policy.config, policy.spec)
    num_layers = len(architecture.hidden_sizes) + 1
    names = ["log_std"] if architecture.action.num_gaussians else []
    names += [f"layers.{i}.{part}" for i in range(num_layers) for part in ("weight", "bias")]
    if architecture.num_statistics:
        names += ["observation.mean", "observation.inverse_deviation"]
    shapes = [shape for shape in architecture.parameter_shapes if prod(shape)]
    parts = np.split(policy.weights.values, np.cumsum([prod(shape) for shape in shapes])[:-1])
    return {
        name: np.ascontiguousarray(part.reshape(shape))
        for name, part, shape in zip(names, parts, shapes, strict=True)
    }


def _tensors(policy: TrainedPolicy, network: "PolicyNetwork") -> dict[str, NDArray[np.float32]]:
    num_dense = len(policy.config.policy.hidden_sizes) - 1
    tensors = {
        _plain_name(name, num_dense): parameter.detach().numpy()
        for name, parameter in network.named_parameters()
    }
    num_statistics = architecture_of(policy.config, policy.spec).num_statistics
    if num_statistics:
        mean, scale = np.split(policy.weights.values[-num_statistics:], 2)
        tensors |= {"observation.mean": mean, "observation.inverse_deviation": scale}
    return tensors


def _with_plain_bounds(leaf: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: there None stands for no bound."""
    for name in ("low", "high"):
        leaf[name] = [bound if np.isfinite(bound) else None for bound in leaf[name]]
    return leaf


def _convolutions_of(network: "PolicyNetwork") -> list[list[dict[str, Any]]]:
    """Return stride in (height, width) and padding of each convolution over each image."""
    encoders: dict[str, list[dict[str, Any]]] = {}
    for name, module in network.named_modules():
        if hasattr(module, "stride"):
            options = {"stride": module.stride, "padding": module.padding[0]}
            encoders.setdefault(name.partition(".layers")[0], []).append(options)
    return list(encoders.values())


def _plain_name(name: str, num_dense: int) -> str:
    """Return the name of a parameter, counting layers but not activations."""
    if name == "log_stds":
        return "log_std"
    name = name.removeprefix("body.").removesuffix("_l0")
    name = name.replace("last.0", f"layers.{2 * num_dense}")
    return re.sub(
        r"(features\.)?(images\.\d+\.)?layers\.(\d+)",
        lambda found: f"{found[2] or 'layers.'}{int(found[3]) // 2}",
        name,
    )
