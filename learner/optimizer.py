"""Optimizers: made by name, and their state as plain arrays."""

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from configs.learning import OptimizerKind

_CLASSES: dict[OptimizerKind, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def make_optimizer(
    kind: OptimizerKind, parameters: Iterable[Parameter], learning_rate: float
) -> torch.optim.Optimizer:
    """Return an optimizer with Torch's own defaults for everything but the learning rate."""
    return _CLASSES[kind](parameters, lr=learning_rate)  # type: ignore[call-arg]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return a copy of the moments as ``<parameter>.<moment>``; empty before the first step."""
    return {
        f"{index}.{name}": value.detach().numpy().copy()
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
        if value is not None
    }


def load_optimizer_arrays(
    optimizer: torch.optim.Optimizer, arrays: dict[str, NDArray[Any]]
) -> None:
    """Restore the moments that ``optimizer_arrays`` returned."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = torch.tensor(array)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
