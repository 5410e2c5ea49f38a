"""Preflight: creates and tries one environment and one policy before anything starts.

It finds within seconds what would fail or mislead later. It either refuses the environment, with
the way out, or warns about the consequences for the run. Each worker makes its own environments
from the configuration, so none has to be pickled.

Only one instance is open at a time: some simulators hold a port, a licence or a lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium

from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.configs.plurals import counted
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
    placement_of,
    refusing,
    registers_vector_implementation,
    with_vector_implementation,
)
from reinforce.workers.environment_faults import EnvironmentFaultError
from reinforce.workers.episode_limits import MAX_STEPS_WITHOUT_LIMIT, limit_of
from reinforce.workers.evaluation_environment import require_equal_spaces
from reinforce.workers.image_checks import (
    dim_images,
    images_as_read,
    large_images,
    require_channels,
)
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

_PROMISE_WITHDRAWN = (
    "training continues, but this withdraws the promise that a run gives the same results again, "
    "with any number of workers, after a crash and when resumed"
)


@dataclass(frozen=True)
class Preflight:
    """The findings of the preflight.

    Attributes:
        spec: The environment's description.
        warnings: Sentences for the user: the finding and its consequences.
        images: How convolutions read each image, if there are any.
    """

    spec: EnvironmentSpec
    warnings: tuple[str, ...]
    images: tuple[str, ...] = ()


def preflight(config: Config) -> Preflight:
    """Create and try the environment and the policy of a configuration.

    This includes a separate environment for evaluations.

    Raises:
        UnsuitableEnvironmentError: The environment cannot be made, breaks Gymnasium's interface, or
            has a space that is not supported; the message says which and what to do.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    spec, warnings = _try_environment(config)
    _check_policy(config, spec)
    warnings += large_images(architecture_of(config, spec))
    if config.policy.normalize_observations and not spec.observation.is_continuous.any():
        warnings.append(
            "policy.normalize_observations has no effect: the observations of "
            f"environment.id = {config.environment.id!r} are categories or images, which are not "
            "normalised"
        )
    if config.evaluation_environment != config.environment:
        found = _try_evaluation_environment(config, spec)
        warnings += [f"evaluation.environment: {w}" for w in found if w not in warnings]
    return Preflight(spec, tuple(warnings), images_as_read(config, spec.observation))


def _try_environment(config: Config) -> tuple[EnvironmentSpec, list[str]]:
    """Return the description of one environment, and warnings."""
    name = f"environment.id = {config.environment.id!r}"
    with Closing() as closing, _faults_refused(name):
        environment = closing.add(make_environment(config.environment))
        spec = describe_environment(config.environment, environment)
        rollouts = [_short_rollout(environment, spec) for _ in range(2)]
        endless = []
        if not limit_of(environment):
            random_steps = _require_an_end(environment, spec)
            endless = find_endless_play(config, spec, environment, random_steps)
    with Closing() as other_closing, _faults_refused(name):
        other = other_closing.add(make_environment(config.environment))
        rollouts.append(_short_rollout(other, spec))
    spec = with_vector_implementation(config.environment, spec)
    warnings = [
        *_nondeterminism(name, [rollout.digests for rollout in rollouts]),
        *_dependence_on_place(config.environment, spec),
        *_try_vector_implementation(config.environment, spec),
        *endless,
        *find_ignored_limit(config, spec),
        *rollouts[0].warnings,
        *rollouts[0].ranges.warnings(),
        *_missing_metrics(config, rollouts[0]),
        *dict.fromkeys(closing.complaints + other_closing.complaints),
        *dim_images(spec.observation, rollouts),
    ]
    return spec, warnings


def _short_rollout(environment: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> RandomRollout:
    return play_random_rollout(environment, spec, seed=0, max_steps=_ROLLOUT_STEPS)


@contextmanager
def _faults_refused(name: str) -> Iterator[None]:
    try:
        yield
    except EnvironmentFaultError as error:
        raise UnsuitableEnvironmentError(f"{name}: {error}") from error.__cause__


def _try_evaluation_environment(config: Config, spec: EnvironmentSpec) -> list[str]:
    """Return warnings; refuse an environment whose spaces differ from training's."""
    environment = config.evaluation_environment
    try:
        found, warnings = _try_environment(config.played_in(environment))
        require_equal_spaces(config.environment, spec, environment, found)
    except UnsuitableEnvironmentError as error:
        raise UnsuitableEnvironmentError(f"evaluation.environment: {error}") from error.__cause__
    return warnings


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
            "an episode of random actions did not end within "
            f"{counted(rollout.num_steps, 'step')}, and no "
            "time limit is set; REINFORCE learns from whole episodes: set "
            "environment.max_episode_steps"
        )
    return rollout.num_steps


def _check_policy(config: Config, spec: EnvironmentSpec) -> None:
    pixels = spec.observation.pixel_leaves
    if config.policy.kind == "cnn" and not pixels:
        raise UnsuitableEnvironmentError(
            "policy.kind = 'cnn' needs an image, a Box of uint8 up to 255 with two to four "
            f"dimensions, but environment.id = {config.environment.id!r} has none; use policy.kind "
            "mlp"
        )
    if config.learner.baseline == "linear" and pixels:
        raise UnsuitableEnvironmentError(
            "learner.baseline = 'linear' has a coefficient for every number of an observation, "
            f"which is useless for images such as {pixels[0].name!r}; use learner.baseline value"
        )
    require_channels(config, spec.observation)
    if ":" in config.policy.kind:
        make_policy(architecture_of(config, spec))


def _missing_metrics(config: Config, rollout: RandomRollout) -> list[str]:
    """Warn about requested metrics missing in ``info``; they may come in other episodes."""
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
        f"{' and '.join(map(repr, missing))} did not appear in the info of {where}, which has "
        f"{there}; episodes without a metric are left out of its mean"
    ]


def _nondeterminism(name: str, digests: list[list[bytes]]) -> list[str]:
    """Warn if a second rollout with the same seed differed, with the first different step.

    Args:
        name: The environment's name in messages.
        digests: Digests of one instance, of the same again, and of another.
    """
    first, again, other = digests
    for second, where in (
        (other, "in two instances"),
        (again, "in an instance that had played before"),
    ):
        for step, (one, two) in enumerate(zip(first, second, strict=False)):
            if one != two:
                return [
                    f"{name} is not deterministic under a seed: the same seed and actions gave "
                    f"different episodes {where}, from step {step} on; {_PROMISE_WITHDRAWN}. Draw "
                    "all random numbers from self.np_random, and reset all state in "
                    "reset(seed=...)"
                ]
    return []


def _dependence_on_place(config: EnvironmentConfig, spec: EnvironmentSpec) -> list[str]:
    names = placement_of(config, spec)
    if not names or config.seeded_only:
        return []
    return [
        f"environment.id = {config.id!r} receives its {', '.join(names)}, so its episodes may "
        f"depend on that: {_PROMISE_WITHDRAWN}. If they do not, because it only chooses a port or "
        "a folder, set environment.seeded_only to true"
    ]


def _try_vector_implementation(config: EnvironmentConfig, spec: EnvironmentSpec) -> list[str]:
    if not (config.use_vector_implementation and registers_vector_implementation(config)):
        return []
    name = f"the vector implementation of environment.id = {config.id!r}"
    if not spec.has_vector_implementation:
        return [
            f"{name} has other spaces than a single environment, so single environments are "
            "stepped; set environment.use_vector_implementation to false to silence this"
        ]
    digests, complaints = [], []
    for num_rollouts in (2, 1):
        with Closing() as closing:
            vector = closing.add(make_vector_environment(config, 2))
            with refusing(f"{name} fails", SINGLE_ENVIRONMENTS):
                autoreset_mode(config, vector)
                for _ in range(num_rollouts):
                    played = play_vector_rollout(vector, spec, seed=0, max_steps=_ROLLOUT_STEPS)
                    digests.append(played[0])
        complaints += closing.complaints
    return [*_nondeterminism(name, digests), *dict.fromkeys(complaints)]
