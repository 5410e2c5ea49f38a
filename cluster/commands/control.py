"""``reinforce scale``, ``pause``, ``unpause`` and ``stop``: requests to a live run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_requests import MAX_WORKERS, RunRequests
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.run_status import status_of
from reinforce.cluster.waiting import waiting
from reinforce.configs.loading import load_config
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line

_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class RequestCommand(Command):
    """A request to a live run.

    Attributes:
        run: The run directory.
    """

    run: RunDir

    def _ask(self, answer: str, **changes: Any) -> int:
        """Leave the request for the run, and say what will happen."""
        self._leave_request(**changes)
        PlainConsole().say(f"{self.run} {answer}")
        return 0

    def _leave_request(self, **changes: Any) -> RunDirectory:
        """Leave a request for a run and return its directory.

        Raises:
            UsageError: It is not live.
        """
        run = RunDirectory.open(self.run)
        if not is_being_written(run.journal_file):
            raise UsageError(f"{self.run} is not training: it {self._how_it_ended(run)}")
        RunRequests.change(run.control_file, **changes)
        return run

    def _how_it_ended(self, run: RunDirectory) -> str:
        """Return words such as "was interrupted after update 3", and the way to continue it."""
        status = status_of(run.path)
        way_on = f"; `{command_line('resume', self.run)}` continues it"
        ending = f"{status.state_in_words} after update {status.updates}"
        return f"{ending}{way_on * (status.state != 'finished')}"


@dataclass(frozen=True, kw_only=True)
class PauseCommand(RequestCommand):
    """Make a run wait after the update in progress."""

    def execute(self) -> int:
        return self._ask(
            "pauses after the update in progress, and writes a checkpoint first", paused=True
        )


@dataclass(frozen=True, kw_only=True)
class UnpauseCommand(RequestCommand):
    """Let a paused run continue."""

    def execute(self) -> int:
        return self._ask("continues", paused=False)


@dataclass(frozen=True, kw_only=True)
class ScaleCommand(RequestCommand):
    """Change the number of workers of a live run.

    Attributes:
        num_workers: Workers from now on, 1 to 10,000.
    """

    num_workers: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="N")]

    def execute(self) -> int:
        if not 1 <= self.num_workers <= MAX_WORKERS:
            raise UsageError(
                f"cannot have {counted(self.num_workers, 'worker')}; ask for 1 to {MAX_WORKERS:,}"
            )
        config = load_config(str(RunDirectory.open(self.run).config_file))
        if config.cluster.backend == "inline":
            raise UsageError(
                f"{self.run} runs in one process (cluster.backend inline), so there is nothing to "
                "scale"
            )
        answer = f"will have {counted(self.num_workers, 'worker')} within seconds if there is room"
        return self._ask(answer, num_workers=self.num_workers)


@dataclass(frozen=True, kw_only=True)
class StopCommand(RequestCommand):
    """End a run after a checkpoint, as Ctrl-C in its terminal does, and wait for its end.

    Attributes:
        address: Dashboard of a Ray cluster, such as http://127.0.0.1:8265; RUN_DIR is then the id
            of a job there, or the name of its run.
        timeout_s: Seconds to wait, > 0. The request remains after that.
    """

    address: str | None = None
    timeout_s: float = 120.0

    def execute(self) -> int:
        ending = self._stop_job(self.address) if self.address else self._stop_run()
        deadline_s = time.monotonic() + self.timeout_s
        with waiting(PlainConsole(stderr=True), f"waiting for {self.run} to end"):
            while not (end := ending()) and time.monotonic() < deadline_s:
                time.sleep(_POLL_S)
        console = PlainConsole()
        if not end:
            console.say(
                f"{self.run} has not ended within {self.timeout_s:g} s; it ends at its next safe "
                "point, and `reinforce status` shows when"
            )
            return 1
        console.say(f"{self.run} {end}")
        return 0

    def _stop_run(self) -> Callable[[], str]:
        """Ask the run to end; return how it ended, or "" until it has."""
        run = self._leave_request(stop=True)

        def end() -> str:
            if is_being_written(run.journal_file):
                return ""
            if not run.path.exists():
                return "ended before it had begun, and left nothing behind"
            RunRequests.take_back_stop(run.control_file)  # it may have ended by itself
            status = status_of(run.path)
            command = command_line("resume", self.run)
            way_on = f"; `{command}` continues it" * (status.state == "interrupted")
            ending = f"{status.state_in_words} after update {status.updates}"
            return f"{ending} ({status.note}){way_on}"

        return end

    def _stop_job(self, address: str) -> Callable[[], str]:
        """Ask the job to end; return how it ended, or "" until it has."""
        # Imported late: Ray takes a second.
        from reinforce.cluster.submission.job_status import stop_job

        return stop_job(address, str(self.run))
