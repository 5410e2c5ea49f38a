"""The activations of the learner's networks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from configs.learning import Activation


class Tanh(nn.Module):
    """The hyperbolic tangent; on the CPU that of NumPy, as the workers compute it.

    It has the same bits there, and takes a sixth of the time of Torch's
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


ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": Tanh, "relu": nn.ReLU}
