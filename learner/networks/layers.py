"""Building blocks of the networks: activations and dense layers with their initialisation."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from reinforce.configs.learning import Activation


class Tanh(nn.Module):
    """The hyperbolic tangent; on the CPU NumPy's, which the workers use.

    So the bits are the same, and it takes a sixth of the time of Torch's
    (docs/decisions/0076-tanh-and-freed-memory.md).
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return a tensor of the same shape. Not in place."""
        is_plain = values.device.type == "cpu" and values.dtype == torch.float32
        if not is_plain or torch.compiler.is_compiling():
            return torch.tanh(values)
        result: Tensor = _NumPyTanh.apply(values)  # type: ignore[no-untyped-call]
        return result


class _NumPyTanh(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        result = torch.empty_like(values)
        np.tanh(values.numpy(), out=result.numpy())
        context.save_for_backward(result)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (result,) = context.saved_tensors
        slope: Tensor = torch.ops.aten.tanh_backward(gradient, result)
        return slope


Parts: TypeAlias = dict[str, Tensor]
"""Observations [n, ...] by field: the float32 ``VECTOR``, if there is one, and uint8 images."""

_LAST_LAYER_GAIN = 0.01
"""Near-uniform at the start: no action is favoured before there is a reason (Andrychowicz et al.
2021, arXiv:2006.05990, section 3.2)."""


ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": Tanh, "relu": nn.ReLU}


def dense_layers(
    sizes: Sequence[int],
    activation: Activation,
    generator: torch.Generator,
    num_outputs: int | None = None,
) -> nn.Sequential:
    """Return fully connected layers, initialised orthogonally, biases zero.

    With gain sqrt(2) for relu and 5/3 for tanh (Saxe et al. 2014, arXiv:1312.6120); a last layer of
    ``num_outputs`` is small and has no activation.
    """
    modules: list[nn.Module] = []
    gain = nn.init.calculate_gain(activation)
    for inputs, outputs in pairwise(sizes):
        modules += [orthogonal_linear(inputs, outputs, gain, generator), ACTIVATIONS[activation]()]
    if num_outputs is not None:
        modules.append(orthogonal_linear(sizes[-1], num_outputs, _LAST_LAYER_GAIN, generator))
    return nn.Sequential(*modules)


def orthogonal_linear(
    inputs: int, outputs: int, gain: float, generator: torch.Generator
) -> nn.Linear:
    """Return a layer with orthogonal weights and zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain, generator)
    nn.init.zeros_(layer.bias)
    return layer
