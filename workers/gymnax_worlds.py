"""The worlds of gymnax under ids that begin with ``gymnax/``, registered by importing this."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from reinforce.workers.functional_environment import import_jax, register

import_jax()  # before gymnax makes arrays

import gymnax  # noqa: E402
from gymnax.environments.spaces import gymnax_space_to_gym_space  # noqa: E402

_NEVER = 2**31 - 1
LEFT_OUT = {
    "MNISTBandit-bsuite",  # downloads its images
    "DiscountingChain-bsuite",  # shows how much of its time limit is over, and so needs one
}


class GymnaxWorld:
    """A world of gymnax without its time limit, which its flag ``done`` would take for an end."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Make the world.

        Args:
            name: Its name in gymnax.
            kwargs: Fields of its parameters, such as ``gravity``, and arguments of its constructor.
        """
        fields = vars(gymnax.make(name)[1])
        of_world = {key: kwargs[key] for key in kwargs if key not in fields}
        of_params = {key: kwargs[key] for key in kwargs if key in fields}
        self._world, params = gymnax.make(name, **of_world)
        never = type(params.max_steps_in_episode)(_NEVER)
        self._params = params.replace(max_steps_in_episode=never, **of_params)
        self.observation_space = gymnax_space_to_gym_space(
            self._world.observation_space(self._params)
        )
        self.action_space = gymnax_space_to_gym_space(self._world.action_space(self._params))

    def reset(self, key: Any) -> Any:
        with _without_warnings():
            return self._world.reset_env(key, self._params)

    def step(self, key: Any, state: Any, action: Any) -> Any:
        with _without_warnings():
            return self._world.step_env(key, state, action, self._params)[:4]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Leave out what JAX, while it compiles, has to say about types in gymnax."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "scatter inputs have incompatible types")
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
        yield


for _name in gymnax.registered_envs:
    if _name not in LEFT_OUT:
        _limit = int(gymnax.make(_name)[1].max_steps_in_episode)
        register(f"gymnax/{_name}", partial(GymnaxWorld, _name), _limit)
