"""The errors that users may see, with their exit codes.

* ReinforceError
  * ConfigError                2: of the lowest floor, configs.errors
  * UnsuitableEnvironmentError 2: of the workers' floor, workers.environment
  * UsageError                 2: nothing was started; the message says what to change
    + ClusterUnreachableError
    + RunDirectoryError
  * TrainingError              1: the run failed; its directory says why
    + TicketFailedError
    + LocalRayError
    + HeadLostError
    + WorkerStartError
    + LearnerLostError
      - LearnerStateLostError
    + TrajectoriesLostError
    + StorageError
    + MissingMetricError
    + JobLostError
    + CallbackError
  * ServerError                1: a server that this command needs does not start
  * ExportError                1: what was exported does not act as the policy did
  * OutputLostError            1: what the command prints cannot be written
  * NotReproducedError         1: what was made again is not what the run recorded
  * InterruptedRunError        128 + signal: interrupted by the user, after a checkpoint
"""

import re
import signal
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Self

from reinforce.configs.errors import ReinforceError
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line

if TYPE_CHECKING:  # NumPy and Gymnasium come with it, and the command line starts without them
    from reinforce.workers.tickets import Ticket


tell_failure: ContextVar[Callable[[BaseException], None]] = ContextVar(
    "tell_failure", default=lambda error: None
)
"""Shows why a run failed before whatever takes time at its end; set by the command line."""


class UsageError(ReinforceError):
    """The request cannot be run; nothing was left behind."""

    exit_code = 2


class ClusterUnreachableError(UsageError):
    """The requested Ray cluster cannot be joined."""


class RunDirectoryError(UsageError):
    """The run's folder cannot be created or read."""


class TrainingError(ReinforceError):
    """The run began but cannot continue."""


class TicketFailedError(TrainingError):
    """A ticket failed in every allowed attempt."""

    def __init__(
        self, message: str, ticket: "Ticket | None" = None, replayed: str = "", before: str = ""
    ) -> None:
        super().__init__(message)
        self._ticket, self._before, self._replayed = ticket, before, replayed

    @classmethod
    def of(cls, ticket: "Ticket", attempts: int, error: str) -> Self:
        """Return the error that names the ticket and how it failed.

        Args:
            ticket: Which.
            attempts: Number of attempts; 1 if tickets are not played again.
            error: The last failure, with its traceback.
        """
        times = f"{attempts} times (workers.max_ticket_attempts); the last failure" * (attempts > 1)
        return cls(
            f"ticket {ticket} failed{' ' + times if times else ''}:\n{error.strip()}",
            *(ticket, "alone, in one process, where a debugger can follow", "\n"),
        )

    @classmethod
    def at_breakpoint(cls, ticket: "Ticket", where: str) -> Self:
        """Return the error of a ticket that reached a ``breakpoint()`` in another process."""
        return cls(
            f"ticket {ticket} has reached a {where}",
            ticket,
            "alone, in its own process, and stops there (PYTHONBREAKPOINT=0 ignores every "
            "breakpoint)",
            "; ",
        )

    def name_run(self, run: Path) -> None:
        """Add the commands that play the ticket again and continue the run afterwards."""
        if self._ticket:
            purpose, update = self._ticket.purpose.name.lower(), self._ticket.update
            command = command_line("replay", run, f"{purpose}:{update}:{self._ticket.index}")
            batch = {
                "training": f"the batch of update {update + 1}",
                "evaluation": "the regular evaluations",
            }.get(purpose, "the final evaluation")
            what = f"{counted(self._ticket.num_episodes, 'episode')} of {batch}"
            way_out = f"`{command}` plays it ({what}) {self._replayed}"
            way_on = f"`{command_line('resume', run)}` continues the run once that is fixed"
            self.args = (f"{self}{self._before}{way_out}\n{way_on}",)

    @classmethod
    def in_review(cls, ticket: "Ticket", error: Exception) -> Self:
        """Return the error of a ticket outside of a run, played once in this process."""
        return cls(f"ticket {ticket} failed:\n{traceback_of(error)}")


class LocalRayError(TrainingError):
    """Ray cannot be started on this machine."""


class HeadLostError(TrainingError):
    """The head of the cluster no longer answers."""

    def name_run(self, run: Path) -> None:
        """Add the command that continues the run on another cluster."""
        command = f"{command_line('resume', run)} --cluster.address HOST:PORT"
        self.args = (f"{self}; to continue, start a cluster, then `{command}`",)


class WorkerStartError(TrainingError):
    """No rollout worker could be started."""


class LearnerLostError(TrainingError):
    """The learner repeatedly died or did not answer."""


class LearnerStateLostError(LearnerLostError):
    """The learner's state is gone with its node; only the newest checkpoint is left."""


class TrajectoriesLostError(TrainingError):
    """Trajectories are gone with their node; their tickets can be played again."""


class StorageError(TrainingError):
    """The run directory, the place of checkpoints or Ray's disk cannot be written."""


class CallbackError(TrainingError):
    """A user's callback raised an error."""


class MissingMetricError(TrainingError):
    """No episode has the run's target metric."""


class ServerError(ReinforceError):
    """A server that a command needs does not start."""


class ExportError(ReinforceError):
    """The exported policy acts differently."""


class OutputLostError(ReinforceError):
    """A command's output cannot be written."""

    @classmethod
    def of(cls, error: OSError) -> Self:
        """Return the error for a system error."""
        return cls(f"the output cannot be written: {error.strerror or error}")


class NotReproducedError(ReinforceError):
    """A recomputed result differs from the run's record."""


class JobLostError(TrainingError):
    """A job was submitted, but the cluster no longer answers."""


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback, as Python prints it, with its notes."""
    return "".join(traceback.format_exception(error)).strip()


def without_colours(text: str) -> str:
    """Return a message without the terminal codes that Ray adds."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class InterruptedRunError(ReinforceError):
    """The user interrupted the run, by a signal or a request that acts as one."""

    def __init__(self, signal_number: int, *, is_request: bool = False) -> None:
        name = "`reinforce stop`" if is_request else signal.Signals(signal_number).name
        super().__init__(f"interrupted by {name}")
        self.exit_code = 128 + signal_number
