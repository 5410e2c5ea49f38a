"""Which files a job came with: `reinforce submit` says so, and checkpoints remember it.

A job that is submitted again goes on by itself only with what the same files have made: otherwise
code that was edited would go on with a run of the old one, or never run since that has finished.
"""

import os

from cluster.errors import UsageError
from cluster.records.checkpoint import Checkpoint
from cluster.records.run_directory import RunDirectory

VARIABLE = "REINFORCE_SUBMITTED_FILES"


def submitted_files() -> str | None:
    """Return the digest of the files that this job came with, or None if this is no job."""
    return os.environ.get(VARIABLE)


def require_same_files(run: RunDirectory, newest: Checkpoint | None) -> None:
    """Raise if this is a job, and a run's newest checkpoint was not made with its files.

    Raises:
        UsageError: It was made with others, or nobody knows with which.
    """
    ours = submitted_files()
    if ours and newest and newest.files != ours:
        theirs = f"submitted as {newest.files}" if newest.files else "that are not known"
        raise UsageError(
            f"run.name = {run.name!r}: {run.path} was made with files {theirs}, and these are "
            f"{ours}; for a new run choose another --run.name; to go on with it all the same, call "
            f"`reinforce resume {run.path}` on that machine, from a folder with these files"
        )
