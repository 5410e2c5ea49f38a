"""Where an environment's code is, for faults that raise no error of its own."""

from typing import Any, Literal

import gymnasium

from reinforce.configs.user_code import is_the_users, source_file, source_of

Part = Literal["observation", "reward"]
"""What of a step the code makes; wrappers of Gymnasium's kinds have a method of that name."""


def step_in_words(step: int) -> str:
    """Return words for a step of an episode; 0 is the reset."""
    return f"step {step}" if step else "reset"


def where_in(environment: Any, step: int, part: Part = "observation") -> str:
    """Return words for a step of an environment, with the place of its code."""
    return f"{step_in_words(step)} ({sources_in(environment, step, part)})"


def sources_in(environment: Any, step: int, part: Part = "observation") -> str:
    """Return where the code of a step is: of the innermost class, then of the user's wrappers."""
    method = "step" if step else "reset"
    wrappers, layer = [], environment
    while isinstance(layer, gymnasium.Wrapper):
        wrappers.append(type(layer))
        layer = layer.env
    sources = [source_of(getattr(type(environment.unwrapped), method))]
    for wrapper in reversed(wrappers):
        parts = [getattr(wrapper, name, None) for name in (method, part)]
        own = [part for part in parts if callable(part) and is_the_users(source_file(part))]
        sources += map(source_of, own[:1])
    return ", then ".join(sources)
