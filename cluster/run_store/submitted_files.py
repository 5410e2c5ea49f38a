"""The files of a job that `reinforce submit` has sent to a cluster."""

import os

SUBMITTED_FILES = "REINFORCE_SUBMITTED_FILES"
"""Environment variable with the digest of a job's files, from `reinforce submit`.

A resubmitted job continues only a run made by the same files: otherwise edited code would continue
the old code's run, or never run because that has finished.
"""


def submitted_files() -> str | None:
    """Return the digest of this job's files, or None outside of jobs."""
    return os.environ.get(SUBMITTED_FILES)
