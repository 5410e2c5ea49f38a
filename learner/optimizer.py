"""Optimizers: Torch's algorithms by name, with their state as plain arrays.

The algorithms are Torch's own, in its functional form. Its classes import its compiler when the
first one is made, a second of processor time before the first update
(docs/decisions/0073-functional-optimizers.md).
"""

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from reinforce.configs.learning import OptimizerKind, Scheduled

_STEP = "step"

_STATE: dict[OptimizerKind, tuple[str, ...]] = {
    "adam": (_STEP, "exp_avg", "exp_avg_sq"),
    "adamw": (_STEP, "exp_avg", "exp_avg_sq"),
    "rmsprop": (_STEP, "square_avg"),
    "sgd": (),
}
"""Of each parameter: the number of its steps, and moments in its shape. Torch's own names.

The moments are on the parameter's device; the number is on the CPU, where Torch reads it.
"""


class Optimizer:
    """Moves parameters against their gradients; Torch's defaults for all but the learning rate.

    Attributes:
        learning_rate: Of the next step.
    """

    def __init__(
        self, kind: OptimizerKind, parameters: Iterable[Parameter], learning_rate: float
    ) -> None:
        self.learning_rate = learning_rate
        self._kind = kind
        self._parameters = list(parameters)
        self._state: dict[int, dict[str, Tensor]] = {}
        """By the parameter's position; empty until it has had a gradient."""

    def zero_gradients(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [(i, p) for i, p in enumerate(self._parameters) if p.grad is not None]
        states = [self._state_of(index) for index, _ in moved]
        columns = {name: [state[name] for state in states] for name in _STATE[self._kind]}
        gradients = [parameter.grad for _, parameter in moved if parameter.grad is not None]
        self._apply([parameter for _, parameter in moved], gradients, columns)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state as ``<parameter>.<name>``; empty before the first step."""
        return {
            f"{index}.{name}": value.cpu().numpy().copy()
            for index, state in self._state.items()
            for name, value in state.items()
        }

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that ``arrays`` returned."""
        self._state = {}
        for key, array in arrays.items():
            index, _, name = key.partition(".")
            place = torch.device("cpu") if name == _STEP else self._parameters[int(index)].device
            self._state.setdefault(int(index), {})[name] = torch.tensor(array, device=place)

    def _state_of(self, index: int) -> dict[str, Tensor]:
        if index not in self._state:
            parameter = self._parameters[index]
            self._state[index] = {
                name: torch.zeros(()) if name == _STEP else torch.zeros_like(parameter)
                for name in _STATE[self._kind]
            }
        return self._state[index]

    def _apply(
        self, parameters: list[Tensor], gradients: list[Tensor], state: dict[str, list[Tensor]]
    ) -> None:
        rate = self.learning_rate
        if self._kind in ("adam", "adamw"):
            (adam if self._kind == "adam" else adamw)(
                *(parameters, gradients, state["exp_avg"], state["exp_avg_sq"], [], state[_STEP]),
                foreach=False,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate,
                weight_decay=0.0 if self._kind == "adam" else 1e-2,
                eps=1e-8,
                maximize=False,
            )
        elif self._kind == "rmsprop":
            rmsprop(
                *(parameters, gradients, state["square_avg"], [], [], state[_STEP]),
                foreach=False,
                lr=rate,
                alpha=0.99,
                eps=1e-8,
                weight_decay=0.0,
                momentum=0.0,
                centered=False,
            )
        else:
            sgd(
                parameters,
                gradients,
                [None] * len(parameters),
                foreach=False,
                weight_decay=0.0,
                momentum=0.0,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def scheduled_value(setting: Scheduled, version: int, schedule_updates: int | None) -> float:
    """Return the value of a setting at a version of the weights.

    Args:
        setting: A constant, or (start, end) to move between linearly.
        version: Updates applied so far, >= 0.
        schedule_updates: Updates after which ``end`` is reached, >= 1.
    """
    if isinstance(setting, float):
        return setting
    start, end = setting
    progress = min(1.0, version / (schedule_updates or 1))
    return start + (end - start) * progress
