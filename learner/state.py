"""The state of a learner, as in checkpoints; without Torch, so that a driver can hold it."""

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

_OF_THE_POLICY = ("weights", "statistics.")
"""Prefixes of the arrays that make up the policy."""


@dataclass(frozen=True, eq=False)
class LearnerState:
    """Everything that a learner needs to continue as if it had never stopped.

    Attributes:
        version: Number of updates applied, >= 0.
        arrays: By name: ``weights`` (the flat vector of the policy), ``optimizer.*`` (its moments)
            and ``estimator.*`` (scales and fitted baselines).
        is_warm_start: Whether it holds only the policy: weights and ``statistics.*``.
    """

    version: int
    arrays: dict[str, NDArray[Any]]
    is_warm_start: bool = False

    @property
    def policy_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the policy: weights and observation statistics."""
        return {name: x for name, x in self.arrays.items() if name.startswith(_OF_THE_POLICY)}


class Stateful(Protocol):
    """An object whose state is saved as arrays by name."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state."""

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that ``arrays`` returned."""


def arrays_of(**parts: Stateful | None) -> dict[str, NDArray[Any]]:
    """Return the states of several parts together, as ``<part>.<name>``."""
    return {
        f"{prefix}.{name}": array
        for prefix, part in parts.items()
        if part
        for name, array in part.arrays().items()
    }


def load_arrays_of(arrays: dict[str, NDArray[Any]], **parts: Stateful | None) -> None:
    """Restore each part from its own arrays among those that ``arrays_of`` returned."""
    for prefix, part in parts.items():
        if part:
            start = f"{prefix}."
            own = {n.removeprefix(start): x for n, x in arrays.items() if n.startswith(start)}
            part.load_arrays(own)


@dataclass(frozen=True)
class UpdateReport:
    """The outcome of one update.

    Attributes:
        version: Version of the new weights, >= 1.
        metrics: Values of the metrics section ``learner/`` by name, without the section.
        weights_sha256: Digest of these weights.
        is_fit_due: Whether a baseline must still be fitted to the batch before the next update.
            This does not affect the weights, so nobody has to wait for it.
    """

    version: int
    metrics: dict[str, float]
    weights_sha256: str
    is_fit_due: bool = False
