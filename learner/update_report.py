"""What one update did, in numbers; it knows no Torch, so that a driver can hold it."""

from dataclasses import dataclass


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
