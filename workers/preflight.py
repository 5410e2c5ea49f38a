"""Preflight: one environment and one policy are made and tried before anything is started.

What would fail or mislead later is found here in seconds. A finding either refuses the environment,
with the way out, or is a warning that says what it means for the run. Environments are made anew in
each worker from the configuration, so none has to be pickled.
"""

import time
from dataclasses import dataclass
from typing import Any

import gymnasium

from configs.config import Config
from configs.experiment import EnvironmentConfig
from learner.policy import make_policy
from workers.environment import (
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    describe_environment,
    make_environment,
    make_vector_environment,
    registers_vector_implementation,
)
from workers.environment_fault import EnvironmentFaultError
from workers.image_findings import findings_about_images
from workers.observations import InvalidMaskError
from workers.rollout_worker import architecture_of
from workers.step_digest import first_difference
from workers.trial import Trial, play_trial
from workers.vector_lanes import autoreset_mode
from workers.vector_trial import play_vector_trial

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
                play_trial(environment, spec, seed=0, max_steps=_TRIAL_STEPS),
                play_trial(environment, spec, seed=0, max_steps=_TRIAL_STEPS),
                play_trial(other, spec, seed=0, max_steps=_TRIAL_STEPS),
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


def _determinism(name: str, trials: list[Trial]) -> list[str]:
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
    trial = play_trial(
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
            play_vector_trial(vector, spec, seed=0, max_steps=_TRIAL_STEPS)
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
