"""Ready-made callbacks: ``callbacks=[MaxUpdateTime(60)]``, or ``--callback`` with their names.

To end a run that no longer improves, use the setting ``stop.patience_evaluations``.
"""

from typing import Annotated, TypeAlias

from reinforce.arguments import checked
from reinforce.cluster.callbacks import TrainingEvent
from reinforce.cluster.errors import UsageError

Seconds: TypeAlias = Annotated[float, "a number of seconds, > 0"]


class MaxUpdateTime:
    """Ends a run after an update that took too long, as when an environment slows down."""

    @checked
    def __init__(self, max_s: Seconds) -> None:
        """Set how long an update may take.

        Args:
            max_s: Seconds of sampling and learning together, > 0.

        Raises:
            UsageError: ``max_s`` is not a positive number.
        """
        if not max_s > 0:
            raise UsageError(f"MaxUpdateTime({max_s!r}): give a number of seconds, > 0")
        self._max_s = max_s

    def __call__(self, event: TrainingEvent) -> None:
        if event.is_evaluation:
            return
        took_s = event.metrics["time/sampling_s"] + event.metrics["time/learning_s"]
        if took_s > self._max_s:
            event.stop(f"update {event.updates} took {took_s:.3g} s, more than {self._max_s:g} s")


class SaveEachBest:
    """Keeps a checkpoint of every evaluation that was the best so far, not only of the last one.

    ``run.start_from RUN_DIR@UPDATE`` and ``reinforce replay`` find them.
    """

    def __call__(self, event: TrainingEvent) -> None:
        if event.is_best:
            event.save_checkpoint(for_good=True)
