"""A trial: one episode of random actions, in which everything that comes back is looked at."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from reinforce.learner.policies.distributions import Masks, make_distribution, masked
from reinforce.learner.policies.spaces import ActionLayout, ObservationLayout
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.environment_faults import (
    EnvironmentFaultError,
    checked_reset,
    checked_step,
    look_at,
)
from reinforce.workers.observations import WritableRows, batch_rows, observation_rows
from reinforce.workers.spaces import MASK_KEY, ActionDecoder


@dataclass
class RandomRollout:
    """What happened, up to the end of the episode or of the trial.

    Attributes:
        digests: Of the row that each observation would be recorded as, with the reward and the end
            that came along; the first one after the reset.
        brightest: The brightest pixel of each image, by its name.
        reward: Of the last step.
        ended: The episode came to its end.
        warnings: What is odd and does no harm, each once.
    """

    digests: list[bytes] = field(default_factory=list)
    brightest: dict[str, int] = field(default_factory=dict)
    reward: float = 0.0
    ended: bool = False
    warnings: dict[str, None] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """Steps whose observation was looked at."""
        return len(self.digests) - 1

    def note(self, layout: ObservationLayout, rows: NDArray[Any]) -> None:
        """Take note of a row, which is not kept: thousands of images would fill the memory."""
        self.digests.append(step_digest(rows, self.reward, self.ended))
        for name, image in layout.pixels(rows).items():
            self.brightest[name] = max(self.brightest.get(name, 0), int(image.max()))


def play_random_rollout(
    environment: gymnasium.Env[Any, Any],
    spec: EnvironmentSpec,
    *,
    seed: int,
    max_steps: int,
    deadline_s: float = float("inf"),
) -> RandomRollout:
    """Reset with a seed and take random actions, the same ones for the same seed.

    Raises:
        EnvironmentFaultError: The environment raises, or returns something of the wrong form.
        InvalidMaskError: An action mask is absent or of the wrong form.
    """
    trial = RandomRollout()
    space = environment.observation_space
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    result = _call("reset", lambda: environment.reset(seed=seed))
    observation, info = checked_reset(result)
    while True:
        where = f"step {len(trial.digests)}" if trial.digests else "reset"
        rows = WritableRows(spec, 1)
        trial.warnings |= dict.fromkeys(_unused_mask(spec, observation, info))
        trial.warnings |= dict.fromkeys(look_at(where, space, observation))
        if trial.ended:
            rows.write_last(0, observation)
        else:
            rows.write(0, observation, info)
        trial.note(spec.observation, rows.observations)
        if trial.ended or trial.num_steps == max_steps or time.monotonic() > deadline_s:
            return trial
        # Through the decoder, as in training: what it makes of them is tried, too.
        (action,) = decoder.singles(random_actions(spec.action, generator, rows.masks))
        observation, info = _step(environment, action, trial)


def _step(
    environment: gymnasium.Env[Any, Any], action: Any, trial: RandomRollout
) -> tuple[Any, Any]:
    where = f"step {trial.num_steps + 1}"
    result = _call(where, lambda: environment.step(action))
    observation, trial.reward, terminated, truncated, info = checked_step(where, result)
    trial.ended = bool(terminated or truncated)
    return observation, info


def _call(where: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # whatever a user's environment raises
        raise EnvironmentFaultError(f"{where} raises {type(error).__name__}: {error}") from error


def _unused_mask(spec: EnvironmentSpec, observation: Any, info: dict[str, Any]) -> Iterator[str]:
    is_seen = isinstance(observation, dict) and MASK_KEY in observation
    if spec.action_mask is not None or not (is_seen or MASK_KEY in info):
        return
    if spec.action.num_choices:
        yield (
            f"the environment gives an {MASK_KEY!r} after a step and gave none after reset, so "
            "none is used, and the policy may do what this one forbids; give one with every "
            "observation, that of reset included"
        )
    else:
        yield (
            f"the environment gives an {MASK_KEY!r}, and masks are used only where every part of "
            "the action space is Discrete or MultiDiscrete; the policy may do what this one forbids"
        )


def random_actions(
    layout: ActionLayout, generator: np.random.Generator, masks: Masks, num_rows: int = 1
) -> NDArray[Any]:
    """Return [num_rows, ...] rows of actions as a policy would take them that knows nothing."""
    per_row = () if layout.is_one_choice else (layout.num_uniforms,)
    uniforms = generator.random((num_rows, *per_row))
    zeros = np.zeros((num_rows, layout.num_outputs + layout.num_gaussians), np.float32)
    return make_distribution(layout).sample(masked(zeros, masks), uniforms)


def play_vector_rollout(
    environment: VectorEnv[Any, Any, Any], spec: EnvironmentSpec, *, seed: int, max_steps: int
) -> list[bytes]:
    """Reset with a seed and take random actions, the same ones for the same seed.

    It ends with the first episode that does: what a lane does afterwards is of no influence.

    Returns:
        Digests of what all lanes saw after the reset, and of what each step returned.

    Raises:
        InvalidMaskError: An action mask is absent or of the wrong form.
        Exception: Whatever the environment raises.
    """
    generator, decoder = np.random.default_rng(seed), ActionDecoder(spec.action)
    lanes = np.arange(environment.num_envs)
    observations, info = environment.reset(seed=seed)
    digests = [step_digest(observation_rows(spec.observation, observations))]
    has_end = False
    while len(digests) <= max_steps and not has_end:
        masks = batch_rows(spec, observations, info, lanes).masks
        actions = random_actions(spec.action, generator, masks, len(lanes))
        observations, rewards, *ends, info = environment.step(decoder.batch(actions))
        seen = observation_rows(spec.observation, observations)
        digests.append(step_digest(seen, rewards, *ends))
        has_end = bool(np.any(ends))
    return digests


def step_digest(*values: Any) -> bytes:
    """Return the digest of what a step returned, bit by bit."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        digest.update(np.asarray(value).tobytes())
    return digest.digest()


def first_difference(one: list[bytes], other: list[bytes]) -> int | None:
    """Return the step from which two trials differ, 0 for the reset, or None."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return number
    return None
