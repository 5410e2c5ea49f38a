"""``reinforce scale``, ``pause`` and ``unpause``: requests to a run that is going on."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_requests import MAX_WORKERS, RunRequests
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config
from reinforce.configs.quoting import command_line


@dataclass(frozen=True, kw_only=True)
class RequestCommand(Command):
    """A request to a run that is going on.

    Attributes:
        run: Its run directory.
    """

    run: RunDir

    def _ask(self, answer: str, **changes: Any) -> int:
        """Leave the request for the run, and say what comes of it."""
        run = RunDirectory.open(self.run)
        if not is_being_written(run.journal_file):
            raise UsageError(
                f"nobody trains {self.run} at the moment; "
                f"`{command_line('resume', self.run)}` goes on"
            )
        RunRequests.change(run.control_file, **changes)
        PlainConsole().say(f"{self.run} {answer}")
        return 0


@dataclass(frozen=True, kw_only=True)
class PauseCommand(RequestCommand):
    """Have a run wait after the update in progress."""

    def execute(self) -> int:
        return self._ask("pauses after its next update, and writes a checkpoint first", paused=True)


@dataclass(frozen=True, kw_only=True)
class UnpauseCommand(RequestCommand):
    """Have a paused run go on."""

    def execute(self) -> int:
        return self._ask("goes on", paused=False)


@dataclass(frozen=True, kw_only=True)
class ScaleCommand(RequestCommand):
    """Change the number of workers of a run that is going on.

    Attributes:
        num_workers: Workers from now on, 1 to 10,000.
    """

    num_workers: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="N")]

    def execute(self) -> int:
        if not 1 <= self.num_workers <= MAX_WORKERS:
            raise UsageError(
                f"cannot have {self.num_workers} workers; ask for 1 to {MAX_WORKERS:,}"
            )
        config = load_config(str(RunDirectory.open(self.run).config_file))
        if config.cluster.backend == "inline":
            raise UsageError(
                f"{self.run} runs in one process (cluster.backend inline): nothing to scale"
            )
        answer = f"goes to {self.num_workers} workers within seconds, as far as there is room"
        return self._ask(answer, num_workers=self.num_workers)
