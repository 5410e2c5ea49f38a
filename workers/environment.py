"""Making environments by id, with their wrappers, and describing them for a policy.

Unsuitable ones are refused with the reason and the way out.
"""

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from reinforce.configs.errors import ReinforceError
from reinforce.configs.experiment import EnvironmentConfig, WrapperConfig
from reinforce.configs.given_objects import given
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.synonyms import INSTEAD_OF_VECTORS
from reinforce.configs.user_code import described, hidden_by, import_of, names_meant
from reinforce.learner.policies.spaces import ActionLayout, ObservationLayout
from reinforce.workers.closing import Closing
from reinforce.workers.mask_method import with_masks_in_info
from reinforce.workers.meant_environment import arguments_meant, environments_meant
from reinforce.workers.placement import ALONE, Placement
from reinforce.workers.spaces import (
    MASK_KEY,
    UnsupportedSpaceError,
    action_layout,
    observation_layout,
)
from reinforce.workers.wrappers import ActionSubset, FrameDifferences, PointsAsEpisodes

SINGLE_ENVIRONMENTS = (
    "; set environment.use_vector_implementation to false to step single environments"
)
"""The way out if a vector implementation fails."""

_SEVERAL_AGENTS = (
    "; environments of several agents, such as PettingZoo's and RLlib's MultiAgentEnv, are not "
    "supported"
)

_EXTRAS = {
    "atari": ("ale_py", "ale-py", "opencv", "cv2"),
    "mujoco": ("mujoco",),
    "box2d": ("box2d",),
    "minigrid": ("'minigrid",),  # the quote leaves out ids that are only misspelt
    "gymnax": ("'gymnax", "'jax"),
}
"""Extras of ``pyproject.toml``, with words that identify their packages in errors."""

_REGISTERED_BY = {
    "ALE/": ("ale_py", "atari"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "gymnax/": ("reinforce.workers.gymnax_worlds", "gymnax"),
    "jumanji/": ("reinforce.workers.jumanji_worlds", "jumanji"),
    "playground/": ("reinforce.workers.playground_worlds", "playground"),
}
"""How ids begin that exist once a module is imported, the module, and the extra for it."""

_OWN_WRAPPERS: dict[str, Callable[..., gymnasium.Env[Any, Any]]] = {
    wrapper.__name__: wrapper for wrapper in (ActionSubset, FrameDifferences, PointsAsEpisodes)
}

_REFUSED_WRAPPERS = {
    "Autoreset": "workers reset each episode themselves, with the seed of its ticket",
    "NormalizeObservation": "its statistics would differ between workers; use "
    "policy.normalize_observations, whose statistics are part of the weights",
    "NormalizeReward": "its statistics would differ between workers; use learner.advantage_scale",
    "NumpyToTorch": "what workers record are NumPy arrays",
    "JaxToTorch": "what workers record are NumPy arrays",
    "HumanRendering": "workers have no screen",
    "RecordVideo": "every worker would overwrite the videos of the others",
}

EnvironmentFactory = Callable[[EnvironmentConfig, Placement], gymnasium.Env[Any, Any]]
"""Makes one environment: ``make_environment``, or a variant of it."""

VectorFactory = Callable[[EnvironmentConfig, int, Placement], VectorEnv[Any, Any, Any]]
"""Makes a vector implementation with this many lanes: ``make_vector_environment`` or a variant."""


class UnsuitableEnvironmentError(ReinforceError):
    """An environment that cannot be made or used; the message says why and what to do."""

    exit_code = 2


@dataclass(frozen=True)
class EnvironmentSpec:
    """What the rest of the system needs to know about an environment.

    Attributes:
        observation: How its observations are stored.
        action: How its actions are stored.
        has_vector_implementation: Whether the environment steps many copies of itself at once, each
            with the spaces of a single one.
        action_mask: Where it gives action masks, or None if it has none.
    """

    observation: ObservationLayout
    action: ActionLayout
    has_vector_implementation: bool
    action_mask: Literal["info", "observation"] | None = None


def inspect_environment(config: EnvironmentConfig) -> EnvironmentSpec:
    """Make the environment once, reset it, and describe it.

    Raises:
        UnsuitableEnvironmentError: It cannot be made, or no policy here supports its spaces.
    """
    with Closing() as closing:
        spec = describe_environment(config, closing.add(make_environment(config)))
    return with_vector_implementation(config, spec)


def describe_environment(
    config: EnvironmentConfig, environment: gymnasium.Env[Any, Any]
) -> EnvironmentSpec:
    """Return the description of a single environment; errors as for ``inspect_environment``."""
    try:
        action = action_layout(environment.action_space)
        is_masked = action.num_choices > 0
        observation = observation_layout(environment.observation_space, is_masked=is_masked)
    except UnsupportedSpaceError as error:
        raise UnsuitableEnvironmentError(f"environment.id = {config.id!r}: {error}") from None
    masks = _mask_source(environment, action)
    return EnvironmentSpec(observation, action, has_vector_implementation=False, action_mask=masks)


def with_vector_implementation(
    config: EnvironmentConfig, spec: EnvironmentSpec, placement: Placement = ALONE
) -> EnvironmentSpec:
    """Complete the description: does the environment step many copies of itself?

    This may create its vector implementation, so no other instance should be open.
    """
    steps_as_vector = registers_vector_implementation(config) and (
        not config.use_vector_implementation or _has_the_spaces(config, spec, placement)
    )
    return replace(spec, has_vector_implementation=steps_as_vector)


def placement_of(config: EnvironmentConfig, spec: EnvironmentSpec) -> list[str]:
    """Return the constructor's parameters for an instance's place."""
    registration = _registration(config)
    steps_as_vector = config.use_vector_implementation and spec.has_vector_implementation
    played = registration.vector_entry_point if steps_as_vector else registration.entry_point
    return list(ALONE.asked_by(played, {**registration.kwargs, **config.kwargs}))


def registers_vector_implementation(config: EnvironmentConfig) -> bool:
    """Return whether the environment has one, and the configuration names no wrapper."""
    return not config.wrappers and _registration(config).vector_entry_point is not None


def registered_limit(config: EnvironmentConfig) -> int | None:
    """Return the registered time limit of the environment in steps, if any."""
    return _registration(config).max_episode_steps


def make_environment(
    config: EnvironmentConfig, placement: Placement = ALONE
) -> gymnasium.Env[Any, Any]:
    """Return one environment, with the wrappers from its registration and the configuration.

    Its action masks, if any, are in ``info`` or in its observations. Its constructor receives its
    place, if it has parameters for it.

    UnsuitableEnvironmentError if there is no such id or wrapper, or a constructor fails.
    """
    registration = _registration(config)
    kwargs = _placed_kwargs(config, registration, registration.entry_point, placement)
    with refusing(
        f"environment.id = {config.id!r} cannot be made with kwargs {without_secrets(kwargs)}",
        partial(arguments_meant, registration.entry_point),
    ):
        environment = gymnasium.make(
            registration,
            max_episode_steps=config.max_episode_steps,
            disable_env_checker=True,
            **kwargs,
        )
    with Closing() as closing:
        closing.add(environment)
        _require_spaces(config, environment)
        for wrapper in config.wrappers:  # the first one is the innermost
            environment = _wrapped(environment, wrapper)
        _require_spaces(config, environment)
        closing.keep_open()
    return with_masks_in_info(environment)


def make_vector_environment(
    config: EnvironmentConfig, num_lanes: int, placement: Placement = ALONE
) -> VectorEnv[Any, Any, Any]:
    """Return the environment's own vector implementation with ``num_lanes`` copies.

    It counts as one instance, and receives its place like one.
    """
    registration = _registration(config)
    kwargs = _placed_kwargs(config, registration, registration.vector_entry_point, placement)
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    name = f"the vector implementation of environment.id = {config.id!r}"
    with refusing(
        f"{name} cannot be made with kwargs {without_secrets(kwargs)}", SINGLE_ENVIRONMENTS
    ):
        return gymnasium.make_vec(
            config.id, num_envs=num_lanes, vectorization_mode="vector_entry_point", **kwargs
        )


@contextmanager
def refusing(what: str, way_out: str | Callable[[BaseException], str] = "") -> Iterator[None]:
    """Turn any error in this context into an UnsuitableEnvironmentError with the way out."""
    with warnings.catch_warnings():
        # The user chose the version; that a newer one exists is no news to an experiment's log.
        warnings.filterwarnings("ignore", message=".*is out of date")
        warnings.filterwarnings("ignore", message=".*not an instance of AutoresetMode")
        try:
            yield
        except UnsuitableEnvironmentError:
            raise
        except (Exception, SystemExit) as error:
            # Gymnasium repeats the kwargs.
            text = described(error).partition(" was raised from the environment creator for ")[0]
            advice = way_out if isinstance(way_out, str) else way_out(error)
            hint = f"{_missing_extra(error)}{_one_agent(error)}{advice}"
            raise UnsuitableEnvironmentError(
                f"{what}: {text.removesuffix('.' if hint else '')}{hint}"
            ) from error


def _registration(config: EnvironmentConfig) -> EnvSpec:
    """Return the registration of an id, or one for the user's callable."""
    module_name, _, name = config.id.rpartition(":")
    try:
        own = given(config.id)
    except LookupError as error:
        raise UnsuitableEnvironmentError(f"environment.id = {config.id!r}: {error}") from None
    if own is not None:
        return EnvSpec(id=name, entry_point=own)
    with refusing(f"environment.id = {config.id!r} cannot be imported"):
        try:
            if module_name:
                module = import_of(module_name, name)
                if name not in gymnasium.registry and callable(getattr(module, name, None)):
                    return EnvSpec(id=name, entry_point=getattr(module, name))
            for prefix, (source, _) in _REGISTERED_BY.items():
                if name.startswith(prefix):
                    importlib.import_module(source)
            return gymnasium.spec(name)
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            # Gymnasium's own guess leaves out the versions, and looks beyond the user's module.
            reason = str(error).partition(" Did you mean: ")[0]
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r} does not exist here ({reason})"
                f"{hidden_by(module_name) or environments_meant(config.id, _REGISTERED_BY)}"
                f"{_missing_extra(error, '' if module_name else name)}"
            ) from None


def _placed_kwargs(
    config: EnvironmentConfig,
    registration: EnvSpec,
    entry_point: Any,
    placement: Placement,
) -> dict[str, Any]:
    """Return the arguments of a constructor; the user's take precedence."""
    given = {**registration.kwargs, **config.kwargs}
    return {**placement.asked_by(entry_point, given), **config.kwargs}


def _require_spaces(config: EnvironmentConfig, environment: gymnasium.Env[Any, Any]) -> None:
    """Refuse an environment without spaces."""
    for name in ("observation_space", "action_space"):
        with refusing(f"environment.id = {config.id!r}: its {name} cannot be read"):
            space = getattr(environment, name, None)
        if not isinstance(space, gymnasium.Space):
            found = f"no {name}" if space is None else f"the {name} {space!r}"
            raise UnsuitableEnvironmentError(
                f"environment.id = {config.id!r}: {type(environment.unwrapped).__name__} has "
                f"{found}; its constructor must set self.{name} to one of "
                f"gymnasium.spaces{_SEVERAL_AGENTS}"
            )


def _one_agent(error: BaseException) -> str:
    if "must inherit from the gymnasium.Env" not in str(error):
        return ""
    found = str(error).rpartition("actual class: ")[2]
    if "Vec" in found:
        return f"; {INSTEAD_OF_VECTORS}"
    return _SEVERAL_AGENTS if "pettingzoo" in found or "Multi" in found else ""


def _missing_extra(error: BaseException, name: str = "") -> str:
    """Return the extra that installs what is missing, if there is one."""
    text = str(error).lower()
    extras = [
        *(
            extra
            for prefix, (_, extra) in _REGISTERED_BY.items()
            if name.startswith(prefix) and isinstance(error, ModuleNotFoundError)
        ),
        *(extra for extra, words in _EXTRAS.items() if any(word in text for word in words)),
    ]
    return f"; pip install 'distributed-reinforce[{extras[0]}]' installs it" if extras else ""


def _wrapped(
    environment: gymnasium.Env[Any, Any], wrapper: WrapperConfig
) -> gymnasium.Env[Any, Any]:
    named = {wrapper: {}} if isinstance(wrapper, str) else wrapper
    if len(named) != 1:
        raise UnsuitableEnvironmentError(
            f"environment.wrappers: {wrapper} must be a name, or one name with its arguments, such "
            "as {FrameStackObservation: {stack_size: 4}}"
        )
    ((name, values),) = named.items()
    # YAML has no tuples, and Gymnasium's wrappers ask for them.
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    wrapper_class = _wrapper_class(name)
    with refusing(
        f"environment.wrappers: {name} cannot be made with arguments {arguments} around "
        f"{environment}"
    ):
        wrapped: gymnasium.Env[Any, Any] = wrapper_class(environment, **arguments)
        return wrapped


def _wrapper_class(name: str) -> Any:
    """Return a wrapper of Gymnasium or of this project, or the user's ``module:Class``."""
    if name in _OWN_WRAPPERS:
        return _OWN_WRAPPERS[name]
    _refuse_wrapper(name, name)  # before it is imported: some need packages that are not there
    module, _, attribute = name.rpartition(":")
    known = (*gymnasium.wrappers.__all__, *_OWN_WRAPPERS)
    with refusing(f"environment.wrappers: {name!r} cannot be imported"):
        try:
            found = getattr(import_of(module or "gymnasium.wrappers", attribute), attribute)
        except (ModuleNotFoundError, AttributeError) as error:
            raise UnsuitableEnvironmentError(
                f"environment.wrappers: {name!r} is neither in gymnasium.wrappers, nor your own "
                f"module:Class, nor one of {', '.join(_OWN_WRAPPERS)} ({error})"
                f"{hidden_by(module) or names_meant(module, attribute, () if module else known)}"
                f"{_missing_extra(error)}"
            ) from None
    for parent in getattr(found, "__mro__", ()):
        if parent.__module__.startswith("gymnasium.wrappers."):
            _refuse_wrapper(name, parent.__name__)
    return found


def _refuse_wrapper(name: str, attribute: str) -> None:
    if attribute in _REFUSED_WRAPPERS:
        raise UnsuitableEnvironmentError(
            f"environment.wrappers: {name} is refused: {_REFUSED_WRAPPERS[attribute]}"
        )


def _has_the_spaces(config: EnvironmentConfig, spec: EnvironmentSpec, placement: Placement) -> bool:
    """Return whether a lane of the vector implementation has the spaces of a single environment."""
    with Closing() as closing, suppress(UnsupportedSpaceError):
        vector = closing.add(make_vector_environment(config, 2, placement))
        is_masked = spec.action.num_choices > 0
        seen = observation_layout(vector.single_observation_space, is_masked=is_masked)
        done = action_layout(vector.single_action_space)
        return (seen, done) == (spec.observation, spec.action)
    return False


def _mask_source(
    environment: gymnasium.Env[Any, Any], action: ActionLayout
) -> Literal["info", "observation"] | None:
    if not action.num_choices:
        return None
    space = environment.observation_space
    if isinstance(space, gymnasium.spaces.Dict) and MASK_KEY in space.spaces:
        return "observation"
    try:
        _, info = environment.reset(seed=0)
    except (Exception, SystemExit):  # noqa: BLE001  (for the preflight or a ticket to say)
        return None
    return "info" if isinstance(info, dict) and MASK_KEY in info else None
