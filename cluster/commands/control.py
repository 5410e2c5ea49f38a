"""``reinforce scale``, ``pause`` and ``unpause``: wishes to a run that is going on."""

from dataclasses import replace
from pathlib import Path

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config

MAX_WORKERS = 10_000


def scale(path: Path, num_workers: int) -> str:
    """Have a run use another number of workers from now on; return what to tell the user.

    Raises:
        RunDirectoryError, UsageError: There is no such run, it is not going on, or it cannot be
            scaled.
    """
    run = _running(path)
    if not 1 <= num_workers <= MAX_WORKERS:
        raise UsageError(f"cannot have {num_workers} workers; ask for 1 to {MAX_WORKERS:,}")
    if load_config(str(run.config_file)).cluster.backend == "inline":
        raise UsageError(f"{path} runs in one process (cluster.backend inline): nothing to scale")
    replace(RunRequests.read(run.control_file), num_workers=num_workers).write(run.control_file)
    return f"{path} goes to {num_workers} workers within seconds, as far as there is room"


def set_paused(path: Path, *, paused: bool) -> str:
    """Have a run wait after the update in progress, or go on; return what to tell the user.

    Raises:
        RunDirectoryError, UsageError: There is no such run, or it is not going on.
    """
    run = _running(path)
    replace(RunRequests.read(run.control_file), paused=paused).write(run.control_file)
    if paused:
        return f"{path} pauses after its next update, and writes a checkpoint first"
    return f"{path} goes on"


def _running(path: Path) -> RunDirectory:
    run = RunDirectory.open(path)
    if not is_being_written(run.journal_file):
        raise UsageError(f"nobody trains {path} at the moment; `reinforce resume {path}` goes on")
    return run
