"""The state of a learner as it is checkpointed; it knows no Torch, so that a driver can hold it."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from learner.advantages import RunningScale


@dataclass(frozen=True, eq=False)
class LearnerState:
    """All that a learner needs to go on as if it had never stopped.

    Attributes:
        version: Number of updates applied, >= 0.
        arrays: ``weights`` (the flat vector) and ``optimizer.<parameter>.<moment>``.
        running_scale: State of the running advantage scale.
    """

    version: int
    arrays: dict[str, NDArray[Any]]
    running_scale: RunningScale
