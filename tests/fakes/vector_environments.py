"""A vector environment in every autoreset mode. It checks how it is stepped and reset."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class VectorCountdown(VectorEnv[Any, Any, Any]):
    """Lane i's first episode lasts i + 2 steps, later ones 2; shows [episode, step]; pays 1.

    With masks, one of two choices is allowed: in the first episode the last, later on the first.
    """

    def __init__(
        self,
        num_envs: int = 1,
        mode: str = "NEXT_STEP",
        masks: bool = False,  # noqa: FBT001, FBT002
        unseeded: str = "",
        has_batched_finals: bool = False,  # noqa: FBT001, FBT002
        raises_at: int = 0,
        exits: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self._raises_at, self._exits = raises_at, exits
        self._unseeded = unseeded
        self._has_batched_finals = has_batched_finals
        self.metadata = {"autoreset_mode": AutoresetMode[mode] if mode != "unknown" else None}
        self.num_envs = num_envs
        self.single_observation_space = Dict({"place": Box(0, 99, (2,), np.float32)})
        self.single_action_space = Discrete(2, start=3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._mode, self._has_masks = mode, masks

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if options is None:
            self._episode, self._step = (np.zeros(self.num_envs, int) for _ in range(2))
            self._over = np.zeros(self.num_envs, bool)
        else:
            assert self._mode == "DISABLED"
            lanes = self._over.copy()
            assert (options["reset_mask"] == lanes).all()
            self._begin(lanes)
            # As Gymnasium's: of the lanes that were not reset the info is zero.
            return self._look(), {k: v * lanes[:, None] for k, v in self._info().items()}
        return self._look(), self._info()

    def step(self, actions: Any) -> Any:
        assert self.action_space.contains(np.asarray(actions)), actions
        if self._mode == "NEXT_STEP":
            waiting = self._over.copy()
        else:
            assert not self._over.any(), "stepped after the end of an episode"
            waiting = np.zeros(self.num_envs, bool)
        if self._has_masks:
            allowed = np.where(self._episode == 0, 4, 3)
            assert (np.asarray(actions) == allowed)[~waiting].all(), "a forbidden action"
        self._step[~waiting] += 1
        if self._step.max() == self._raises_at:
            if self._exits:
                raise SystemExit(5)
            raise ArithmeticError("the vector implementation is faulty")
        lengths = np.where(self._episode == 0, np.arange(self.num_envs) + 2, 2)
        terminated = ~waiting & (self._step == lengths)
        rewards = np.where(waiting, 0.0, 1.0)
        if self._unseeded == "rewards":
            rewards = rewards * np.random.default_rng().random()
        finals = {}
        self._over = terminated.copy()
        if self._mode == "NEXT_STEP":
            self._begin(waiting)
            self._over = terminated.copy()
        elif self._mode == "SAME_STEP" and terminated.any():
            finals["final_obs"] = self._finals(np.flatnonzero(terminated))
            self._begin(terminated)
        info = self._info() | finals
        return self._look(), rewards, terminated, np.zeros(self.num_envs, bool), info

    def _finals(self, lanes: np.ndarray) -> Any:
        """As of Gymnasium's SyncVectorEnv one per lane, or one batch of all lanes, as of arrays."""
        seen = self._look()["place"]
        if self._has_batched_finals:
            return {"place": np.where(np.isin(np.arange(self.num_envs), lanes)[:, None], seen, -1)}
        finals = np.empty(self.num_envs, object)
        for lane in lanes:
            finals[lane] = {"place": seen[lane]}
        return finals

    def _begin(self, lanes: np.ndarray) -> None:
        self._episode[lanes] += 1
        self._step[lanes] = 0
        self._over[lanes] = False

    def _look(self) -> Any:
        place = np.stack([self._episode, self._step], axis=1).astype(np.float32)
        if self._unseeded == "observations":
            place += np.random.default_rng().random()
        return {"place": place}

    def _info(self) -> dict[str, Any]:
        if not self._has_masks:
            return {}
        is_first = self._episode == 0
        return {"action_mask": np.stack([~is_first, is_first], axis=1).astype(np.int8)}


class OneCountdown(gymnasium.Env[Any, Any]):
    """The same, alone."""

    def __init__(self, mode: str = "", masks: bool = False, **of_the_vector: Any) -> None:  # noqa: FBT001, FBT002
        self.observation_space = Dict({"place": Box(0, 99, (2,), np.float32)})
        self.action_space = Discrete(2, start=3)
        self._info = {"action_mask": np.array([0, 1], np.int8)} if masks else {}
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._step = 0
        return {"place": np.zeros(2, np.float32)}, self._info

    def step(self, action: int) -> Any:
        self._step += 1
        place = {"place": np.array([0, self._step], np.float32)}
        return place, 1.0, self._step == 2, False, self._info


if "VectorCountdown-v0" not in gymnasium.registry:
    gymnasium.register(
        "VectorCountdown-v0", entry_point=OneCountdown, vector_entry_point=VectorCountdown
    )

if "OtherSpaces-v0" not in gymnasium.registry:  # as ALE's are: small gray images in the vector
    gymnasium.register(
        "OtherSpaces-v0",
        entry_point="fake_environments:Countdown",
        vector_entry_point=VectorCountdown,
    )
