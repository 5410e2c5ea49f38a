"""Wrappers by name with arguments: Gymnasium's own, or the user's as ``module:Class``."""

import importlib
from collections.abc import Sequence
from typing import Any

import gymnasium

from reinforce.configs.errors import suggestion
from reinforce.configs.experiment import WrapperConfig

_REFUSED = {
    "Autoreset": "workers reset each episode themselves, with the seed of its ticket",
    "NormalizeObservation": "its statistics would differ from worker to worker; use "
    "policy.normalize_observations, whose statistics are part of the weights",
    "NormalizeReward": "its statistics would differ from worker to worker; use "
    "learner.advantage_scale",
    "NumpyToTorch": "what workers record are NumPy arrays",
    "JaxToTorch": "what workers record are NumPy arrays",
    "HumanRendering": "workers have no screen",
    "RecordVideo": "every worker would write over the videos of the others",
}


class WrapperError(Exception):
    """A wrapper that does not exist, does not fit, or would make the results depend on workers."""


def apply_wrappers(
    environment: gymnasium.Env[Any, Any], wrappers: Sequence[WrapperConfig]
) -> gymnasium.Env[Any, Any]:
    """Return the environment in its wrappers, the first one innermost.

    Raises:
        WrapperError: One cannot be found or made; the message names it.
    """
    for wrapper in wrappers:
        name, arguments = _name_and_arguments(wrapper)
        wrapper_class = _find(name)
        try:
            environment = wrapper_class(environment, **arguments)
        except Exception as error:  # whatever a wrapper's constructor raises
            raise WrapperError(
                f"environment.wrappers: {name} cannot be made with arguments {arguments} around "
                f"{environment}: {type(error).__name__}: {error}"
            ) from error
    return environment


def _name_and_arguments(wrapper: WrapperConfig) -> tuple[str, dict[str, Any]]:
    if isinstance(wrapper, str):
        return wrapper, {}
    if len(wrapper) != 1:
        raise WrapperError(
            f"environment.wrappers: {wrapper} has to be a name, or one name with its arguments, "
            "such as {FrameStackObservation: {stack_size: 4}}"
        )
    ((name, arguments),) = wrapper.items()
    # YAML has no tuples, and Gymnasium's wrappers ask for them.
    return name, {
        key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()
    }


def _find(name: str) -> Any:
    _refuse(name, name)  # before it is imported: some need packages that are not there
    module, _, attribute = name.rpartition(":")
    try:
        found = getattr(importlib.import_module(module or "gymnasium.wrappers"), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        near = suggestion(name, gymnasium.wrappers.__all__)
        hint = f"; {near}" if near else ""
        raise WrapperError(
            f"environment.wrappers: {name!r} is neither a wrapper of gymnasium.wrappers nor "
            f"module:Class of your own ({error}){hint}"
        ) from None
    except Exception as error:  # whatever a user's module raises
        raise WrapperError(
            f"environment.wrappers: {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for parent in getattr(found, "__mro__", ()):
        if parent.__module__.startswith("gymnasium.wrappers."):
            _refuse(name, parent.__name__)
    return found


def _refuse(name: str, attribute: str) -> None:
    if attribute in _REFUSED:
        raise WrapperError(f"environment.wrappers: {name} is refused: {_REFUSED[attribute]}")
