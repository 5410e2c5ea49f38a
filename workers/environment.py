"""Environments: made by id, described by the few numbers a policy needs, or refused in time."""

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from reinforce.configs.errors import suggestion
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.policies.spaces import ActionLayout, ObservationLayout
from reinforce.workers.spaces import (
    MASK_KEY,
    UnsupportedSpaceError,
    action_layout,
    observation_layout,
)
from reinforce.workers.wrappers import WrapperError, apply_wrappers

_EXTRAS = {
    "atari": ("ale_py", "ale-py", "opencv", "cv2"),
    "mujoco": ("mujoco",),
    "box2d": ("box2d",),
}
"""Extras of ``pyproject.toml`` and the words by which errors name what they hold."""

EnvironmentFactory = Callable[[EnvironmentConfig], gymnasium.Env[Any, Any]]
"""Makes one environment: ``make_environment``, or one that adds to what it makes."""


class UnsuitableEnvironmentError(Exception):
    """An environment that cannot be made or learned in; the message says why and what to do."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """What the rest of the system needs to know of an environment.

    Attributes:
        observation: How its observations are stored.
        action: How its actions are stored.
        has_vector_implementation: The environment steps many copies of itself at once, each with
            the spaces of one alone.
        action_mask: Where it says which choices are allowed, or None if it never does.
    """

    observation: ObservationLayout
    action: ActionLayout
    has_vector_implementation: bool
    action_mask: Literal["info", "observation"] | None = None


def inspect_environment(config: EnvironmentConfig) -> EnvironmentSpec:
    """Make the environment once, reset it, and describe it.

    Raises:
        UnsuitableEnvironmentError: It does not exist, cannot be made, or has spaces that no policy
            here can see or act in.
    """
    environment = make_environment(config)
    try:
        return describe_environment(config, environment)
    finally:
        environment.close()


def describe_environment(
    config: EnvironmentConfig, environment: gymnasium.Env[Any, Any]
) -> EnvironmentSpec:
    """Return what the rest of the system needs to know; errors as for ``inspect_environment``."""
    try:
        action = action_layout(environment.action_space)
        is_masked = action.num_choices > 0
        observation = observation_layout(environment.observation_space, is_masked=is_masked)
    except UnsupportedSpaceError as error:
        raise UnsuitableEnvironmentError(f"environment.id = {config.id!r}: {error}") from None
    steps_as_vector = registers_vector_implementation(config) and (
        not config.use_vector_implementation or _has_the_spaces(config, observation, action)
    )
    return EnvironmentSpec(observation, action, steps_as_vector, _mask_source(environment, action))


def registers_vector_implementation(config: EnvironmentConfig) -> bool:
    """Return whether the environment brings one, and no wrapper of ours stands before it."""
    return not config.wrappers and _find(config).vector_entry_point is not None


def make_environment(config: EnvironmentConfig) -> gymnasium.Env[Any, Any]:
    """Return one environment, in the wrappers that its registration and the configuration name.

    Raises:
        UnsuitableEnvironmentError: There is no such id, or its constructor fails.
    """
    maker = _find(config)
    with warnings.catch_warnings():
        # The user chose the version; that a newer one exists is no news to an experiment's log.
        warnings.filterwarnings("ignore", message=".*is out of date")
        try:
            environment = gymnasium.make(
                maker,
                max_episode_steps=config.max_episode_steps,
                disable_env_checker=True,
                **config.kwargs,
            )
            return apply_wrappers(environment, config.wrappers)
        except WrapperError as error:
            raise UnsuitableEnvironmentError(
                f"{error}{_missing_extra(error.__cause__ or error)}"
            ) from error
        except (Exception, SystemExit) as error:  # whatever a user's constructor raises
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} cannot be made with kwargs {config.kwargs}: "
                f"{type(error).__name__}: {error}{_missing_extra(error)}"
            ) from error


def make_vector_environment(config: EnvironmentConfig, num_lanes: int) -> VectorEnv[Any, Any, Any]:
    """Return the environment's own vector implementation with ``num_lanes`` copies.

    Raises:
        UnsuitableEnvironmentError: Its constructor fails.
    """
    kwargs = dict(config.kwargs)
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date")
        warnings.filterwarnings("ignore", message=".*not an instance of AutoresetMode")
        try:
            return gymnasium.make_vec(
                config.id, num_envs=num_lanes, vectorization_mode="vector_entry_point", **kwargs
            )
        except (Exception, SystemExit) as error:  # whatever a constructor raises
            raise UnsuitableEnvironmentError(
                f"the vector implementation of environment.id = {config.id!r} cannot be made with "
                f"kwargs {kwargs}: {type(error).__name__}: {error}; set "
                "environment.use_vector_implementation to false to step single environments"
            ) from error


def _find(config: EnvironmentConfig) -> EnvSpec:
    """Return the registration that the id names, or one for the user's callable."""
    module_name, _, name = config.id.rpartition(":")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date")
        try:
            if not module_name:
                if name.startswith("ALE/"):
                    importlib.import_module("ale_py")
                return gymnasium.spec(name)
            module = importlib.import_module(module_name)
            if name not in gymnasium.registry and callable(getattr(module, name, None)):
                return EnvSpec(id=name, entry_point=getattr(module, name))
            return gymnasium.spec(name)
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            near = suggestion(name, _known_names(module_name))
            hint = f"; {near}" if near else ""
            # Gymnasium's own guess leaves out the versions, and looks beyond the user's module.
            reason = str(error).partition(" Did you mean: ")[0]
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} does not exist here ({reason})"
                f"{hint}{_missing_extra(error)}"
            ) from None
        except Exception as error:  # whatever a user's module raises
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} cannot be imported: {type(error).__name__}: "
                f"{error}{_missing_extra(error)}"
            ) from error


def _known_names(module_name: str) -> list[str]:
    """Return what a name could have meant: ids of Gymnasium, or what a module has and registers."""
    if not module_name:
        return list(gymnasium.registry)
    found = vars(sys.modules[module_name]) if module_name in sys.modules else {}
    registered = (name for name, spec in gymnasium.registry.items() if _is_from(module_name, spec))
    return [*(name for name, value in found.items() if callable(value)), *registered]


def _is_from(module_name: str, spec: EnvSpec) -> bool:
    """Return whether a module, or the package that it is of, has what an id makes."""
    entry = spec.entry_point
    path = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
    return re.split("[.:]", path)[0] == module_name.partition(".")[0]


def _missing_extra(error: BaseException) -> str:
    """Return which extra of ours installs what is missing, if it is one of those."""
    for extra, packages in _EXTRAS.items():
        if any(package in str(error).lower() for package in packages):
            return f"; pip install 'distributed-reinforce[{extra}]' brings it"
    return ""


def _has_the_spaces(
    config: EnvironmentConfig, observation: ObservationLayout, action: ActionLayout
) -> bool:
    """Return whether a lane of the vector implementation sees and does the same as one alone."""
    vector = make_vector_environment(config, 2)
    seen_space, done_space = vector.single_observation_space, vector.single_action_space
    vector.close()
    with suppress(UnsupportedSpaceError):
        seen = observation_layout(seen_space, is_masked=action.num_choices > 0)
        return (seen, action_layout(done_space)) == (observation, action)
    return False


def _mask_source(
    environment: gymnasium.Env[Any, Any], action: ActionLayout
) -> Literal["info", "observation"] | None:
    if not action.num_choices:
        return None
    if isinstance(environment.observation_space, gymnasium.spaces.Dict):
        mask = environment.observation_space.spaces.get(MASK_KEY)
        if mask is not None:
            return "observation"
    try:
        _, info = environment.reset(seed=0)
    except Exception:  # noqa: BLE001  (what is wrong with a reset is for the preflight to say)
        return None
    return "info" if MASK_KEY in info else None
