"""Preflight: one environment and one policy are made and tried before anything is started.

What would fail or mislead later is found here in seconds. It either refuses the environment, with
the way out, or is a warning that says what it means for the run. Each worker makes its own
environments from the configuration, so none has to be pickled.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium

from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.learner.make_policy import make_policy
from reinforce.workers.closing import Closing
from reinforce.workers.endless_play import find_endless_play, find_ignored_limit
from reinforce.workers.environment import (
    SINGLE_ENVIRONMENTS,
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    describe_environment,
    make_environment,
    make_vector_environment,
    refusing,
    registers_vector_implementation,
)
from reinforce.workers.environment_faults import EnvironmentFaultError
from reinforce.workers.episode_limits import MAX_STEPS_WITHOUT_LIMIT, limit_of
from reinforce.workers.image_checks import (
    dim_images,
    images_as_read,
    large_images,
    require_channels,
)
from reinforce.workers.observations import InvalidMaskError
from reinforce.workers.random_rollout import (
    RandomRollout,
    TimeAllowance,
    play_random_rollout,
    play_vector_rollout,
)
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.vector_lanes import autoreset_mode

_ROLLOUT_STEPS = 200
_MAX_SECONDS_WITHOUT_LIMIT = 10.0


@dataclass(frozen=True)
class Preflight:
    """What a run may rely on.

    Attributes:
        spec: What the rest of the system needs to know of the environment.
        warnings: Sentences for the user: what was found, and what it means.
        images: How convolutions read each image, where there are some.
    """

    spec: EnvironmentSpec
    warnings: tuple[str, ...]
    images: tuple[str, ...] = ()


def preflight(config: Config) -> Preflight:
    """Make and try the environment and the policy of a configuration.

    Raises:
        UnsuitableEnvironmentError: The environment cannot be made, breaks Gymnasium's interface, or
            has a space that is not supported; the message says which and what to do.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    name = f"environment.id = {config.environment.id!r}"
    with Closing() as closing:
        environment = closing.add(make_environment(config.environment))
        other = closing.add(make_environment(config.environment))
        spec = describe_environment(config.environment, environment)
        try:
            rollouts = [
                play_random_rollout(instance, spec, seed=0, max_steps=_ROLLOUT_STEPS)
                for instance in (environment, environment, other)
            ]
            endless = []
            if not limit_of(environment):
                random_steps = _require_an_end(environment, spec)
                endless = find_endless_play(config, spec, environment, random_steps)
        except (EnvironmentFaultError, InvalidMaskError) as error:
            raise UnsuitableEnvironmentError(f"{name}: {error}") from error.__cause__
    _check_policy(config, spec)
    warnings = [
        *_nondeterminism(name, [rollout.digests for rollout in rollouts]),
        *_try_vector_implementation(config.environment, spec),
        *endless,
        *find_ignored_limit(config, spec),
        *rollouts[0].warnings,
        *rollouts[0].ranges.warnings(),
        *_missing_metrics(config, rollouts[0]),
        *closing.complaints,
        *dim_images(spec.observation, rollouts),
        *large_images(architecture_of(config, spec)),
    ]
    if config.policy.normalize_observations and not spec.observation.is_continuous.any():
        warnings.append(
            "policy.normalize_observations has no effect: the observations of "
            f"{name} are categories or images, which are not normalised"
        )
    return Preflight(spec, tuple(warnings), images_as_read(config, spec.observation))


def _require_an_end(environment: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> int:
    rollout = play_random_rollout(
        environment,
        spec,
        seed=1,
        max_steps=MAX_STEPS_WITHOUT_LIMIT,
        allowance=TimeAllowance(_MAX_SECONDS_WITHOUT_LIMIT),
    )
    if not rollout.ended:
        raise EnvironmentFaultError(
            f"an episode of random actions did not end within {rollout.num_steps} steps, and no "
            "limit of time is set; REINFORCE learns from whole episodes: set "
            "environment.max_episode_steps"
        )
    return rollout.num_steps


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
    require_channels(config, spec.observation)
    if ":" in config.policy.kind:
        make_policy(architecture_of(config, spec))


def _missing_metrics(config: Config, rollout: RandomRollout) -> list[str]:
    """Say what is to be taken from ``info`` and was not there; it may come in other episodes."""
    missing = []
    for name in config.requested_metrics:
        is_last = config.environment.metrics[name] == "last"
        said = rollout.said_last if is_last else rollout.said
        if name not in said and (rollout.ended or not is_last):
            missing.append(name)
    if not missing:
        return []
    where = "an episode of random actions" if rollout.ended else f"{rollout.num_steps} random steps"
    there = ", ".join(map(str, rollout.said)) or "nothing"
    return [
        f"{' and '.join(map(repr, missing))} did not come in the info of {where}, in which there "
        f"was {there}; episodes without a metric are left out of its mean"
    ]


def _nondeterminism(name: str, digests: list[list[bytes]]) -> list[str]:
    """Say from which step on a second rollout of the same seed went another way, if one did.

    Args:
        name: Of what was played.
        digests: Of one instance, of the same again, and of another.
    """
    first, again, other = digests
    for second, where in ((other, "in two of its instances"), (again, "in one that played before")):
        for step, (one, two) in enumerate(zip(first, second, strict=False)):
            if one != two:
                return [
                    f"{name} is not deterministic under a seed: the same seed and actions gave "
                    f"another episode {where}, from step {step} on; training goes on, but the "
                    "promise is withdrawn that a run gives the same results again, for any number "
                    "of workers, after a crash and when it is resumed. Draw all chance from "
                    "self.np_random, and let reset(seed=...) begin anew"
                ]
    return []


def _try_vector_implementation(config: EnvironmentConfig, spec: EnvironmentSpec) -> list[str]:
    if not (config.use_vector_implementation and registers_vector_implementation(config)):
        return []
    name = f"the vector implementation of environment.id = {config.id!r}"
    if not spec.has_vector_implementation:
        return [
            f"{name} has other spaces than the environment alone, so single environments are "
            "stepped; set environment.use_vector_implementation to false to silence this"
        ]
    with Closing() as closing:
        one, other = (closing.add(make_vector_environment(config, 2)) for _ in range(2))
        with refusing(f"{name} fails", SINGLE_ENVIRONMENTS):
            autoreset_mode(config, one)
            digests = [
                play_vector_rollout(instance, spec, seed=0, max_steps=_ROLLOUT_STEPS)[0]
                for instance in (one, one, other)
            ]
    return [*_nondeterminism(name, digests), *closing.complaints]
