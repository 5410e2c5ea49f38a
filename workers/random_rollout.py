"""Random rollouts: an episode of random actions with checks of everything returned.

Two with the same seed take the same actions, so the digests of their steps can be compared.
"""

import hashlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from reinforce.configs.user_code import described, is_the_users
from reinforce.learner.policies.distributions import Masks, make_distribution, masked
from reinforce.learner.policies.policy import Policy
from reinforce.learner.policies.spaces import ActionLayout, ObservationLayout
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.environment_faults import (
    EnvironmentFaultError,
    InvalidMaskError,
    check_observation,
    checked_reset,
    checked_step,
)
from reinforce.workers.environment_source import sources_in, step_in_words, where_in
from reinforce.workers.number_ranges import NumberRanges
from reinforce.workers.observations import ObservationRows, lane_masks, observation_rows
from reinforce.workers.seeds import uniforms_shape
from reinforce.workers.spaces import MASK_KEY, ActionDecoder


@dataclass
class RandomRollout:
    """The result of a rollout, up to the end of the episode or the requested step.

    Attributes:
        digests: Digest of each observation's recorded row, with its reward and end; the first is
            for the reset.
        brightest: The brightest pixel of each image, by name.
        ranges: The range of each number.
        ended: Whether the episode ended.
        said: Names in the ``info`` of its steps.
        said_last: Names in the ``info`` of the last step.
        warnings: Harmless oddities, each once.
    """

    ranges: NumberRanges
    digests: list[bytes] = field(default_factory=list)
    brightest: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    said: dict[str, None] = field(default_factory=dict)
    said_last: tuple[str, ...] = ()
    warnings: dict[str, None] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """Number of checked steps."""
        return len(self.digests) - 1

    def note(self, layout: ObservationLayout, rows: NDArray[Any], reward: float) -> None:
        """Count a row without keeping it: thousands of images would fill the memory."""
        self.digests.append(_digest(rows, reward, self.ended))
        for name, image in layout.pixels(rows).items():
            self.brightest[name] = max(self.brightest.get(name, 0), int(image.max()))


class TimeAllowance:
    """Time limit of a rollout in seconds. A step counts one second at most, to allow debuggers."""

    def __init__(self, seconds: float) -> None:
        self._left_s, self._looked_at_s = seconds, time.monotonic()

    def is_over(self) -> bool:
        """Return whether the steps so far took longer; call it after each of them."""
        now_s = time.monotonic()
        self._left_s -= min(now_s - self._looked_at_s, 1.0)
        self._looked_at_s = now_s
        return self._left_s < 0


FOREVER = TimeAllowance(float("inf"))


def play_random_rollout(
    environment: gymnasium.Env[Any, Any],
    spec: EnvironmentSpec,
    *,
    seed: int,
    max_steps: int,
    allowance: TimeAllowance = FOREVER,
    greedy_policy: Policy | None = None,
) -> RandomRollout:
    """Reset with a seed and take random actions until the allowance is used up.

    With a policy, its most probable actions instead.
    EnvironmentFaultError if anything raises or has the wrong form.
    """
    rollout = RandomRollout(NumberRanges(spec.observation))
    space = environment.observation_space
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    where, reward = where_in(environment, 0), 0.0
    seen, rewarded = (sources_in(environment, 1, part) for part in ("observation", "reward"))
    result = _call(environment, 0, partial(environment.reset, seed=seed))
    observation, info = checked_reset(where, result)
    while True:
        rows = ObservationRows(spec, 1)
        odd = [
            *_unused_mask(spec, observation, info),
            *check_observation(where, space, observation),
        ]
        rollout.warnings |= dict.fromkeys(odd)
        if rollout.ended:
            rows.write_last(0, observation)
        else:
            _write(rows, where, observation, info)
        rollout.note(spec.observation, rows.observations, reward)
        rollout.ranges.note(observation)
        if rollout.ended or rollout.num_steps == max_steps or allowance.is_over():
            return rollout
        # Through the decoder, as in training: what it makes of them is tried, too.
        if greedy_policy:
            actions = greedy_policy.act_greedily(rows.observations, rows.masks)
        else:
            actions = _random_actions(spec.action, generator, rows.masks)
        (action,) = decoder.singles(actions)
        number = rollout.num_steps + 1
        where = f"step {number} ({seen})"
        result = _call(environment, number, partial(environment.step, action))
        observation, reward, terminated, truncated, info = checked_step(
            f"step {number} ({rewarded})", result
        )
        rollout.ended = terminated or truncated
        rollout.said_last = tuple(info)
        rollout.said |= dict.fromkeys(info)


def play_vector_rollout(
    environment: VectorEnv[Any, Any, Any],
    spec: EnvironmentSpec,
    *,
    seed: int,
    max_steps: int,
    allowance: TimeAllowance = FOREVER,
    greedy_policy: Policy | None = None,
) -> tuple[list[bytes], bool]:
    """Do the same with a vector environment.

    It ends with the first episode: what a lane does afterwards does not matter.

    Returns:
        The digests of all lanes' results, and whether an episode ended.
    """
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    num_lanes = environment.num_envs
    observations, info = environment.reset(seed=seed)
    rows = observation_rows(spec.observation, observations)
    digests = [_digest(rows)]
    has_end = False
    while len(digests) <= max_steps and not has_end and not allowance.is_over():
        masks = lane_masks(spec, observations, info, range(num_lanes))
        if greedy_policy:
            actions = greedy_policy.act_greedily(rows, masks)
        else:
            actions = _random_actions(spec.action, generator, masks, num_lanes)
        observations, rewards, *ends, info = environment.step(decoder.batch(actions))
        rows = observation_rows(spec.observation, observations)
        digests.append(_digest(rows, rewards, *ends))
        has_end = bool(np.any(ends))
    return digests, has_end


def _call(environment: gymnasium.Env[Any, Any], step: int, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # whatever a user's environment raises
        if not is_the_users(traceback.extract_tb(error.__traceback__)[-1].filename):
            _require_form_within(environment, step)
        text = f"{step_in_words(step)} raises {described(error)}"
        if "reset() got an unexpected keyword argument 'seed'" in str(error):
            text += "; this is the form of old Gym: write reset(self, *, seed=None, options=None)"
        raise EnvironmentFaultError(text) from error


def _require_form_within(environment: gymnasium.Env[Any, Any], step: int) -> None:
    """Raise EnvironmentFaultError if the innermost class returns what no wrapper can unpack."""
    within = environment.unwrapped
    if within is environment:
        return
    try:
        checked_reset(where_in(within, 0), within.reset(seed=0))
        if step:
            within.action_space.seed(0)
            result = within.step(within.action_space.sample())
            checked_step(where_in(within, step, "reward"), result)
    except EnvironmentFaultError:
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - the first error says more
        return


def _write(rows: ObservationRows, where: str, observation: Any, info: dict[str, Any]) -> None:
    try:
        rows.write(0, observation, info)
    except InvalidMaskError as error:
        raise InvalidMaskError(f"{where}: {error}") from None


def _unused_mask(spec: EnvironmentSpec, observation: Any, info: dict[str, Any]) -> list[str]:
    is_seen = isinstance(observation, dict) and MASK_KEY in observation
    if spec.action_mask is not None or not (is_seen or MASK_KEY in info):
        return []
    if spec.action.num_choices:
        return [
            f"the environment gives an {MASK_KEY!r} after a step but gave none after reset, so "
            "none is used, and the policy may do what it forbids; give one with every "
            "observation, including that of reset"
        ]
    return [
        f"the environment gives an {MASK_KEY!r}, but masks are used only if every part of the "
        "action space is Discrete or MultiDiscrete; the policy may do what it forbids"
    ]


def _random_actions(
    layout: ActionLayout, generator: np.random.Generator, masks: Masks, num_rows: int = 1
) -> NDArray[Any]:
    """Return [num_rows, ...] uniformly random actions."""
    uniforms = generator.random((num_rows, *uniforms_shape(layout)))
    zeros = np.zeros((num_rows, layout.num_outputs + layout.num_gaussians), np.float32)
    distribution = make_distribution(layout)
    return distribution.sample(masked(zeros, masks), distribution.noise(uniforms))


def _digest(*values: Any) -> bytes:
    """Return the digest of every bit that a step returned."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        digest.update(np.asarray(value).tobytes())
    return digest.digest()
