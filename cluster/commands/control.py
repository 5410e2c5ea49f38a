"""``reinforce scale``, ``pause`` and ``unpause``: requests to a run that is going on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config

MAX_WORKERS = 10_000


@dataclass(frozen=True, kw_only=True)
class ScaleCommand(Command):
    """Change the number of workers of a run that is going on.

    Attributes:
        run: Its run directory.
        num_workers: Workers from now on, 1 to 10,000.
    """

    run: RunDir
    num_workers: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="N")]

    def execute(self, started_s: float) -> int:
        run = _running(self.run)
        if not 1 <= self.num_workers <= MAX_WORKERS:
            raise UsageError(
                f"cannot have {self.num_workers} workers; ask for 1 to {MAX_WORKERS:,}"
            )
        if load_config(str(run.config_file)).cluster.backend == "inline":
            raise UsageError(
                f"{self.run} runs in one process (cluster.backend inline): nothing to scale"
            )
        _change_requests(run, num_workers=self.num_workers)
        PlainConsole().say(
            f"{self.run} goes to {self.num_workers} workers within seconds, as far as there is room"
        )
        return 0


@dataclass(frozen=True, kw_only=True)
class PauseCommand(Command):
    """Have a run wait after the update in progress.

    Attributes:
        run: Its run directory.
    """

    run: RunDir

    def execute(self, started_s: float) -> int:
        _change_requests(_running(self.run), paused=True)
        text = f"{self.run} pauses after its next update, and writes a checkpoint first"
        PlainConsole().say(text)
        return 0


@dataclass(frozen=True, kw_only=True)
class UnpauseCommand(Command):
    """Have a paused run go on.

    Attributes:
        run: Its run directory.
    """

    run: RunDir

    def execute(self, started_s: float) -> int:
        _change_requests(_running(self.run), paused=False)
        PlainConsole().say(f"{self.run} goes on")
        return 0


def _running(path: Path) -> RunDirectory:
    run = RunDirectory.open(path)
    if not is_being_written(run.journal_file):
        raise UsageError(f"nobody trains {path} at the moment; `reinforce resume {path}` goes on")
    return run


def _change_requests(run: RunDirectory, **changes: Any) -> None:
    replace(RunRequests.read(run.control_file), **changes).write(run.control_file)
