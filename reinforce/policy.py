"""A trained policy: takes observations and returns actions, without the environment."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reinforce.arguments import checked
from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.configs.quoting import shown
from reinforce.configs.synonyms import Explained
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.seeds import Stream, seed_sequence
from reinforce.workers.environment_faults import InvalidMaskError
from reinforce.workers.observations import (
    misfit,
    num_unknown,
    read_mask,
    row_writer,
)
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.spaces import MASK_KEY, ActionDecoder


class Policy(Explained):
    """A policy with one version of a run's weights.

    Attributes:
        update: Number of updates behind these weights.
        weights_sha256: Their digest.
    """

    _instead: ClassVar = {
        "predict": "act(observation) returns an action and the state for the next step"
    }

    def __init__(self, trained: TrainedPolicy) -> None:
        self._spec, self._layout = trained.spec, trained.spec.observation
        self._actor = make_policy(architecture_of(trained.config, trained.spec))
        self._actor.load(trained.weights)
        self._decoder = ActionDecoder(trained.spec.action)
        seeds = seed_sequence(trained.config.run.seed, Stream.ACTIONS_IN_PYTHON)
        self._generator = np.random.default_rng(seeds)
        self.update = trained.weights.version
        self.weights_sha256 = trained.weights.sha256

    @checked
    def act(
        self,
        observation: Any,
        state: NDArray[np.float32] | None = None,
        mask: Any = None,
        *,
        greedy: bool = True,
        generator: np.random.Generator | None = None,
    ) -> tuple[Any, NDArray[np.float32]]:
        """Return an action, and the state to pass with the next step.

        Args:
            observation: As the environment returns it.
            state: The state from the previous step; None at the beginning of an episode.
            mask: The action mask, if the environment gives one in ``info``; a mask in the
                observation is found there.
            greedy: Take the most probable action; otherwise sample as in training.
            generator: Random generator for sampled actions. None: the policy's own, seeded with the
                run's seed.

        Returns:
            The action in the form that ``env.step`` takes, and the new state, empty without a
            memory.

        Raises:
            UsageError: The environment has action masks, but none was given.
            ValueError: The observation has a different shape than in training, or holds a NaN, an
                infinity or a category outside its space; or state or mask do not fit this policy.
        """
        rows = self._row(observation)
        try:
            masks = self._masks(observation, mask)
        except InvalidMaskError as error:
            raise ValueError(str(error)) from None
        self._actor.begin(1)
        if state is not None:
            self._actor.remember(self._checked_state(state))
        if greedy:
            actions = self._actor.act_greedily(rows, masks)
        else:
            actions = self._sample(rows, masks, generator or self._generator)
        return self._decoder.singles(actions)[0], self._actor.states

    def _row(self, observation: Any) -> NDArray[Any]:
        rows, fault = self._layout.empty(1), misfit(self._layout, observation)
        try:
            row_writer(self._layout, rows)(0, observation)
        except (ValueError, TypeError, LookupError) as error:
            fault = fault or str(error)
        is_pair = isinstance(observation, tuple) and len(observation) == 2
        if fault and is_pair and isinstance(observation[1], dict):
            fault = "this is what reset returns: pass its first element"
        if fault:
            raise ValueError(f"the observation {shown(observation)} does not fit: {fault}")
        if not np.isfinite(self._layout.vector(rows)).all():
            raise ValueError(f"the observation {shown(observation)} holds a NaN or an infinity")
        if num_unknown(self._layout, rows):
            raise ValueError(
                f"the observation {shown(observation)} holds a category outside its space"
            )
        return rows

    def _checked_state(self, state: Any) -> NDArray[np.float32]:
        shape = self._actor.states.shape
        if not isinstance(state, np.ndarray) or state.shape != shape:
            hint = "; info, which reset returns, is not passed" if isinstance(state, dict) else ""
            raise ValueError(
                f"state = {shown(state)} is not the state that the previous step returned: give an "
                f"array of shape {shape}, or None at the beginning of an episode{hint}"
            )
        return state.astype(np.float32, copy=False)

    def _masks(self, observation: Any, mask: Any) -> NDArray[np.bool_] | None:
        if self._spec.action_mask is None:
            if mask is not None:
                raise UsageError("the environment of training had no action masks: leave mask out")
            return None
        if self._spec.action_mask == "observation":
            return read_mask(observation, self._spec.action)[None]
        if mask is None:
            raise UsageError(
                f"the environment gives action masks in info[{MASK_KEY!r}]: pass it as mask="
            )
        return read_mask({MASK_KEY: mask}, self._spec.action)[None]

    def _sample(
        self,
        rows: NDArray[Any],
        masks: NDArray[np.bool_] | None,
        generator: np.random.Generator,
    ) -> NDArray[Any]:
        layout = self._spec.action
        shape = (1,) if layout.is_one_choice else (1, layout.num_uniforms)
        return self._actor.act(rows, self._actor.noise(generator.random(shape)), masks)[0]
