"""The state of a learner as it is checkpointed; it knows no Torch, so that a driver can hold it."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LearnerState:
    """All that a learner needs to go on as if it had never stopped.

    Attributes:
        version: Number of updates applied, >= 0.
        arrays: By name: ``weights`` (the flat vector of the policy), ``optimizer.*`` (its moments)
            and ``estimator.*`` (scales and fitted baselines).
    """

    version: int
    arrays: dict[str, NDArray[Any]]


def with_prefix(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose name starts with a prefix, under the rest of their name."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def add_prefix(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays under longer names."""
    return {prefix + name: array for name, array in arrays.items()}


@dataclass(frozen=True)
class UpdateReport:
    """The outcome of one update.

    Attributes:
        version: Version of the weights that it made, >= 1.
        metrics: Values of the metrics section ``learner/`` by name, without the section.
        is_fit_due: Whether something is still to be fitted to the batch before the next update. It
            is of no influence on the weights, so nobody has to wait for it.
    """

    version: int
    metrics: dict[str, float]
    is_fit_due: bool = False
