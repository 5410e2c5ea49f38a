"""Preflight: one environment and one policy are made and tried before anything is started.

What would fail or mislead later is found here in seconds. A finding either refuses the environment,
with the way out, or is a warning that says what it means for the run. Environments are made anew in
each worker from the configuration, so none has to be pickled.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium

from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.spaces import ObservationLayout
from reinforce.workers.environment import (
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    describe_environment,
    make_environment,
    make_vector_environment,
    registers_vector_implementation,
)
from reinforce.workers.environment_faults import EnvironmentFaultError
from reinforce.workers.observations import InvalidMaskError
from reinforce.workers.random_rollout import (
    RandomRollout,
    first_difference,
    play_random_rollout,
    play_vector_rollout,
)
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.vector_lanes import autoreset_mode

_TRIAL_STEPS = 200
_MAX_STEPS_WITHOUT_LIMIT = 50_000
_MAX_SECONDS_WITHOUT_LIMIT = 10.0


@dataclass(frozen=True)
class Preflight:
    """What a run may rely on.

    Attributes:
        spec: What the rest of the system needs to know of the environment.
        warnings: Sentences for the user: what was found, and what it means.
    """

    spec: EnvironmentSpec
    warnings: tuple[str, ...]


def preflight(config: Config) -> Preflight:
    """Make and try the environment and the policy of a configuration.

    Raises:
        UnsuitableEnvironmentError: The environment cannot be made, breaks Gymnasium's interface, or
            has a space that is not supported; the message says which and what to do.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    name = f"environment.id = {config.environment.id!r}"
    environment, other = make_environment(config.environment), make_environment(config.environment)
    try:
        spec = describe_environment(config.environment, environment)
        try:
            trials = [
                play_random_rollout(environment, spec, seed=0, max_steps=_TRIAL_STEPS),
                play_random_rollout(environment, spec, seed=0, max_steps=_TRIAL_STEPS),
                play_random_rollout(other, spec, seed=0, max_steps=_TRIAL_STEPS),
            ]
            if not _has_limit(environment):
                _play_to_the_end(environment, spec)
        except (EnvironmentFaultError, InvalidMaskError) as error:
            raise UnsuitableEnvironmentError(f"{name}: {error}") from error.__cause__
    finally:
        environment.close()
        other.close()
    _check_policy(config, spec)
    odd = [
        *_check_vector_implementation(config, spec),
        *trials[0].warnings,
        *findings_about_images(architecture_of(config, spec), trials),
    ]
    if config.policy.normalize_observations and not spec.observation.is_continuous.any():
        odd.append(
            "policy.normalize_observations has no effect: the observations of "
            f"{name} are categories or images, which are not normalised"
        )
    return Preflight(spec, (*_determinism(name, trials), *odd))


def _determinism(name: str, trials: list[RandomRollout]) -> list[str]:
    first, again, other = trials
    return _withdrawn(
        name,
        first_difference(first.digests, again.digests),
        first_difference(first.digests, other.digests),
    )


def _withdrawn(name: str, again: int | None, other: int | None) -> list[str]:
    """Say from which step on a trial went another way, again or in another instance, if it did."""
    promise = (
        "training goes on, but the promise is withdrawn that a run gives the same results again, "
        "for any number of workers, after a crash and when it is resumed"
    )
    for step, where in ((other, "in two of its instances"), (again, "in one that played before")):
        if step is not None:
            return [
                f"{name} is not deterministic under a seed: the same seed and actions gave another "
                f"episode {where}, from step {step} on; {promise}. Draw all chance from "
                "self.np_random, and let reset(seed=...) begin anew"
            ]
    return []


def _has_limit(environment: gymnasium.Env[Any, Any]) -> bool:
    wrapper: Any = environment
    while isinstance(wrapper, gymnasium.Wrapper):
        if isinstance(wrapper, gymnasium.wrappers.TimeLimit):
            return True
        wrapper = wrapper.env
    return False


def _play_to_the_end(environment: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> None:
    started_s = time.monotonic()
    trial = play_random_rollout(
        environment,
        spec,
        seed=1,
        max_steps=_MAX_STEPS_WITHOUT_LIMIT,
        deadline_s=started_s + _MAX_SECONDS_WITHOUT_LIMIT,
    )
    if not trial.ended:
        raise EnvironmentFaultError(
            f"an episode of random actions did not end within {trial.num_steps} steps, and no "
            "limit of time is set; REINFORCE learns from whole episodes: set "
            "environment.max_episode_steps"
        )


def _check_vector_implementation(config: Config, spec: EnvironmentSpec) -> list[str]:
    environment = config.environment
    if not (environment.use_vector_implementation and registers_vector_implementation(environment)):
        return []
    if not spec.has_vector_implementation:
        return [
            f"the vector implementation of environment.id = {environment.id!r} has other spaces "
            "than the environment alone, so single environments are stepped; set "
            "environment.use_vector_implementation to false to be told no more"
        ]
    try:
        trials = _vector_trials(environment, spec)
    except UnsuitableEnvironmentError:
        raise
    except Exception as error:  # whatever a user's environment raises
        raise UnsuitableEnvironmentError(
            f"the vector implementation of environment.id = {environment.id!r} raises "
            f"{type(error).__name__}: {error}; set environment.use_vector_implementation to false "
            "to step single environments"
        ) from error
    first, again, other = trials
    name = f"the vector implementation of environment.id = {environment.id!r}"
    return _withdrawn(name, first_difference(first, again), first_difference(first, other))


def _vector_trials(environment: EnvironmentConfig, spec: EnvironmentSpec) -> list[list[bytes]]:
    one, other = (make_vector_environment(environment, 2) for _ in range(2))
    try:
        autoreset_mode(environment, one)
        return [
            play_vector_rollout(vector, spec, seed=0, max_steps=_TRIAL_STEPS)
            for vector in (one, one, other)
        ]
    finally:
        one.close()
        other.close()


def _check_policy(config: Config, spec: EnvironmentSpec) -> None:
    pixels = spec.observation.pixel_leaves
    if config.policy.kind == "cnn" and not pixels:
        raise UnsuitableEnvironmentError(
            "policy.kind = 'cnn' needs an image, a Box of uint8 up to 255 with two to four "
            f"dimensions, and environment.id = {config.environment.id!r} shows none; use "
            "policy.kind mlp"
        )
    if config.learner.baseline == "linear" and pixels:
        raise UnsuitableEnvironmentError(
            "learner.baseline = 'linear' has a coefficient for every number of an observation, "
            f"which is no use for images such as {pixels[0].name!r}; use learner.baseline value"
        )
    if ":" in config.policy.kind:
        make_policy(architecture_of(config, spec))


_DIM = 25
"""Of 255: an image that is nowhere brighter is taken for a board."""

_MANY_WEIGHTS = 20_000_000
"""In one layer: 80 MB in every version of the weights, and three times that in the learner."""


def findings_about_images(
    architecture: PolicyArchitecture, trials: list[RandomRollout]
) -> Iterator[str]:
    """Yield sentences for the user: what was found, and what to do about it."""
    yield from _boards(architecture.observation, trials)
    yield from _too_large(architecture)


def _boards(layout: ObservationLayout, trials: list[RandomRollout]) -> Iterator[str]:
    for leaf in layout.pixel_leaves:
        brightest = max(trial.brightest[leaf.name] for trial in trials)
        if brightest <= _DIM:
            way_out = (
                "put {DtypeObservation: {dtype: float32}} among environment.wrappers"
                if _is_alone(layout)
                else "make it a Box of float32 with a wrapper of your own (Gymnasium's "
                "DtypeObservation takes no Dict and no Tuple)"
            )
            yield (
                f"the image {leaf.name!r} holds nothing above {brightest} in {len(trials)} trials "
                "and is divided by 255, so that the network sees next to nothing of it; if it is a "
                f"board of small numbers and no image, {way_out} and set "
                "policy.normalize_observations to true"
            )


def _too_large(architecture: PolicyArchitecture) -> Iterator[str]:
    images = architecture.observation.pixel_leaves
    if not images or ":" in architecture.kind:
        return
    inputs, outputs = architecture.first_layer
    if inputs * outputs > _MANY_WEIGHTS:
        way_out = (
            "put {ResizeObservation: {shape: [84, 84]}} among environment.wrappers (it needs "
            "OpenCV: pip install 'distributed-reinforce[atari]')"
            if _is_alone(architecture.observation) and len(images[0].shape) < 4
            else "make it smaller with a wrapper of your own (Gymnasium's ResizeObservation takes "
            "one image alone, of two or three dimensions)"
        )
        sizes = " and ".join(f"{leaf.name!r} of shape {leaf.shape}" for leaf in images)
        yield (
            f"with the image {sizes} the first layer after the image of policy.kind "
            f"{architecture.kind!r} has {inputs:,} x {outputs:,} weights, "
            f"{4e-6 * inputs * outputs:,.0f} MB that every version of the weights takes to every "
            f"worker; {way_out}"
        )


def _is_alone(layout: ObservationLayout) -> bool:
    """Return whether the image is the whole observation, as Gymnasium's wrappers of images ask."""
    return not layout.leaves[0].path
