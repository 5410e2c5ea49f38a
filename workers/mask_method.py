"""Action masks by the convention of sb3-contrib: the method ``action_masks()``."""

from typing import Any

import gymnasium
import numpy as np

from reinforce.workers.spaces import MASK_KEY

_METHOD = "action_masks"


def with_masks_in_info(environment: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return the environment, wrapped if it or one of its wrappers has the method."""
    has_method = environment.has_wrapper_attr(_METHOD)
    if has_method and callable(environment.get_wrapper_attr(_METHOD)):
        return MasksInInfo(environment)
    return environment


class MasksInInfo(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Puts the mask into ``info``, unless it has one already or the episode is over."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._with_mask(super().reset(seed=seed, options=options))

    def step(self, action: Any) -> Any:
        return self._with_mask(super().step(action))

    def _with_mask(self, result: Any) -> Any:
        """Return the result of reset or step with the mask, or a malformed one unchanged."""
        if not (isinstance(result, tuple) and result and isinstance(result[-1], dict)):
            return result
        *others, info = result
        is_over = any(isinstance(flag, bool | np.bool_) and flag for flag in others[2:])
        if is_over or MASK_KEY in info:
            return result
        return *others, {**info, MASK_KEY: self.get_wrapper_attr(_METHOD)()}
