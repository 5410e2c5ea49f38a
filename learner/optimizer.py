"""Optimizers: Torch's algorithms by name, with their state as plain arrays.

The algorithms are Torch's own, in its functional form. Its classes import its compiler when the
first one is created, which takes a second of processor time before the first update
(docs/decisions/0073-functional-optimizers.md).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from reinforce.configs.learning import OptimizerKind, Scheduled

_STEP, _UNUSED = "step", ""


class _Algorithm(NamedTuple):
    """One of Torch's optimizer functions, and how to call it.

    Attributes:
        move: Changes parameters in place, given their gradients and the state.
        state: State per parameter, in the order of the arguments and under Torch's own names: the
            number of steps, on the CPU, where Torch reads it, and moments in the parameter's shape,
            on its device.
        options: Torch's default arguments, which its functions lack.
    """

    move: Callable[..., None]
    state: tuple[str, ...]
    options: dict[str, Any]


_ADAM_STATE = ("exp_avg", "exp_avg_sq", _UNUSED, _STEP)
_ADAM = {"amsgrad": False, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "maximize": False}
_PLAIN = {"weight_decay": 0.0, "momentum": 0.0}
_ALGORITHMS: dict[OptimizerKind, _Algorithm] = {
    "adam": _Algorithm(adam, _ADAM_STATE, {**_ADAM, "weight_decay": 0.0}),
    "adamw": _Algorithm(adamw, _ADAM_STATE, {**_ADAM, "weight_decay": 1e-2}),
    "rmsprop": _Algorithm(
        rmsprop,
        ("square_avg", _UNUSED, _UNUSED, _STEP),
        {**_PLAIN, "alpha": 0.99, "eps": 1e-8, "centered": False},
    ),
    "sgd": _Algorithm(
        sgd, (_UNUSED,), {**_PLAIN, "dampening": 0.0, "nesterov": False, "maximize": False}
    ),
}


def clip_gradient(parameters: Sequence[Parameter], limit: float | None) -> float:
    """Scale gradients down to a global norm, and return their norm before.

    Raises:
        FloatingPointError: The norm is not finite; the message holds only the norm.
    """
    gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
    # In float64: the squares of a long gradient overflow float32 long before it does.
    norm = float(np.linalg.norm(torch.cat(gradients).cpu().numpy().astype(np.float64)))
    if not np.isfinite(norm):
        raise FloatingPointError(f"norm {norm}")
    if limit is not None and norm > limit:
        for parameter in parameters:
            if parameter.grad is not None:
                # Not in place: the gradients of two parameters may be one tensor.
                parameter.grad = parameter.grad * (limit / norm)
    return norm


class Optimizer:
    """Moves parameters against their gradients; Torch's defaults for all but the learning rate."""

    def __init__(self, kind: OptimizerKind, parameters: Iterable[Parameter]) -> None:
        self._algorithm = _ALGORITHMS[kind]
        self._parameters = list(parameters)
        self._state: dict[int, dict[str, Tensor]] = {}
        """State by the parameter's position; empty before its first gradient."""

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient."""
        moved = [(i, p) for i, p in enumerate(self._parameters) if p.grad is not None]
        states = [self._state_of(index, parameter) for index, parameter in moved]
        self._algorithm.move(
            [parameter for _, parameter in moved],
            [parameter.grad for _, parameter in moved],
            *([state.get(name) for state in states] for name in self._algorithm.state),
            foreach=False,
            lr=learning_rate,
            **self._algorithm.options,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state as ``<parameter>.<name>``; empty before the first step."""
        return {
            f"{index}.{name}": value.cpu().numpy().copy()
            for index, state in self._state.items()
            for name, value in state.items()
        }

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._state = {}
        for key, array in arrays.items():
            index, _, name = key.partition(".")
            place = torch.device("cpu") if name == _STEP else self._parameters[int(index)].device
            self._state.setdefault(int(index), {})[name] = torch.tensor(array, device=place)

    def _state_of(self, index: int, parameter: Parameter) -> dict[str, Tensor]:
        if index not in self._state:
            self._state[index] = {
                name: torch.zeros(()) if name == _STEP else torch.zeros_like(parameter)
                for name in self._algorithm.state
                if name != _UNUSED
            }
        return self._state[index]


def scheduled_value(setting: Scheduled, version: int, schedule_updates: int | None) -> float:
    """Return a setting's value at a version of the weights.

    Args:
        setting: A constant, or (start, end) of a linear schedule.
        version: Updates applied so far, >= 0.
        schedule_updates: Updates after which ``end`` is reached, >= 1.
    """
    if isinstance(setting, float):
        return setting
    start, end = setting
    progress = min(1.0, version / (schedule_updates or 1))
    return start + (end - start) * progress
