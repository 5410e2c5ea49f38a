"""What became of a worker, as far as Ray knows it, without the words of Ray."""

from typing import Any

import ray
from ray._private.state import state as ray_state
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from cluster.errors import without_colours

_MAX_CAUSE_LENGTH = 100


def cause_of(error: RayError, *, has_node: bool = True) -> str:
    """Return in a few words why a call to a worker came to nothing."""
    if isinstance(error, RayTaskError):
        cause = f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
        return cause[:_MAX_CAUSE_LENGTH]
    if not has_node:
        return "its node is gone"
    if isinstance(error, OutOfMemoryError):
        return "Ray ended it because its node ran out of memory"
    if isinstance(error, RayActorError) and error.actor_init_failed:
        last_line = without_colours(str(error)).strip().splitlines()[-1]
        return f"it did not start: {last_line}"[:_MAX_CAUSE_LENGTH]
    return "its process was killed, or crashed, or memory ran out"


def node_is_alive(node: str | None) -> bool:
    """Return whether a node is there still; one that no worker has named is taken to be."""
    return node is None or any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node)


def has_process(actor: Any) -> bool:
    """Return whether an actor was placed on a node, so that its constructor has begun.

    Ray offers this to its own libraries only; should it vanish, all count as placed: better one
    loss too many in the metrics than a silent one.
    """
    look_up = getattr(ray_state, "actor_table", lambda _: {"Pid": True})
    return bool(look_up(actor._actor_id.hex()).get("Pid"))
