"""The versions of a run's policy that are worth keeping: the best and the last."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cluster.errors import UsageError
from cluster.records.checkpoint import Checkpoint
from cluster.records.checkpoints import Checkpoints
from cluster.records.run_directory import RunDirectory
from configs.config import Config


@dataclass(frozen=True)
class PolicyVersion:
    """One version of the policy.

    Attributes:
        kind: ``best`` by its evaluations, or ``last``.
        is_champion: It is the one to register: the best, or the last if nothing was evaluated.
        checkpoint: Where it is.
    """

    kind: str
    is_champion: bool
    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """Name of the model in MLflow."""
        return f"{self.kind}-update-{self.checkpoint.learner.version:09d}"


def policy_versions(
    run: RunDirectory, config: Config, report: Callable[[str], None]
) -> Iterator[PolicyVersion]:
    """Yield the best and the last version of the policy, as far as there are such.

    Args:
        run: Whose.
        config: Of the run.
        report: Called with a sentence about what cannot be read.
    """
    try:
        checkpoints = Checkpoints(run, config)
    except UsageError as error:  # they are kept where this machine cannot go
        report(f"the policies: {error}")
        return
    is_evaluated = True
    try:
        best = checkpoints.best()
        is_evaluated = best is not None
    except Exception as error:  # noqa: BLE001  (torn, or whatever the store behind fsspec raises)
        report(f"the best policy: {error}")
        best = None
    if best:
        yield PolicyVersion("best", is_champion=True, checkpoint=best)
    try:
        last = checkpoints.newest(report)
    except Exception as error:  # noqa: BLE001  (as above)
        report(f"the last policy: {error}")
        return
    if last:
        yield PolicyVersion("last", is_champion=not is_evaluated, checkpoint=last)
