"""The state of runs on a Ray cluster, from its dashboard and what they publish."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from reinforce.cluster.backends.ray.published_numbers import PublishedNumbers, published_name
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_status import RunStatus, State, numbers_of
from reinforce.cluster.submission.jobs import JOB_PREFIX, RayJobs, exit_code_of, in_words
from reinforce.cluster.tracebacks import in_a_line
from reinforce.cluster.typed_json import parse_json

_STATES: dict[JobStatus, State] = {
    JobStatus.PENDING: "waiting",
    JobStatus.RUNNING: "running",
    JobStatus.STOPPED: "interrupted",
    JobStatus.SUCCEEDED: "finished",
    JobStatus.FAILED: "failed",
}

_STARTING_S = 120.0
"""In which a job may not have joined its cluster; later, it has said what it waits for."""

_CODES_AFTER_A_SIGNAL = [128 + n for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]


def statuses_of_jobs(address: str) -> list[RunStatus]:
    """Return the jobs of `reinforce submit`, and other drivers with a live run.

    Raises:
        ClusterUnreachableError: The dashboard at this URL does not answer, or refuses our token.
    """
    return [status for _, status in _runs(RayJobs.connect(address))]


def stop_job(address: str, name: str) -> Callable[[], str]:
    """End a job after a checkpoint; return how it ended, or "" before.

    Args:
        address: URL of its cluster's dashboard.
        name: Its id, or the name of its run.

    Raises:
        ClusterUnreachableError: As ``statuses_of_jobs``.
        UsageError: There is no such live job.
    """
    jobs = RayJobs.connect(address)
    runs = [(job.submission_id, status) for job, status in _runs(jobs) if job.submission_id]
    live = [job for job, status in runs if status.is_live]
    named = [(job, status) for job, status in runs if name in (job, status.name)]
    found = [job for job, _ in named if job in live]
    if named and not found:
        newest = max((status for _, status in named), key=lambda status: status.since_ms or 0)
        raise UsageError(f"{name} is not live: it {newest.state_in_words}{_at(newest.since_ms)}")
    if len(found) != 1:
        number = f"{len(found)} live jobs have" if found else "no live job or run has"
        names = ", ".join(live) or "none"
        raise UsageError(f"{number} the name {name!r} at {address}; live now: {names}")
    submission_id = found[0]
    jobs.stop(submission_id)

    def end() -> str:
        job = jobs.find(submission_id)
        if job is None:
            return "is no longer known to its cluster"
        status = _status(jobs, job, None)
        return "" if status.is_live else f"{status.state_in_words} ({status.note})"

    return end


def _at(timestamp_ms: int | None) -> str:
    """Return when something happened, by the clock of this machine."""
    if timestamp_ms is None:
        return ""
    return f" at {datetime.fromtimestamp(timestamp_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"


def _runs(jobs: RayJobs) -> list[tuple[JobDetails, RunStatus]]:
    found = [(job, _published(jobs, job)) for job in jobs.all() if _is_shown(job)]
    return [(job, _status(jobs, job, told)) for job, told in found if told or _is_named_so(job)]


def _is_submitted(job: JobDetails) -> bool:
    return (job.submission_id or "").startswith(JOB_PREFIX)


def _is_shown(job: JobDetails) -> bool:
    return _is_submitted(job) or not job.status.is_terminal()


def _is_named_so(job: JobDetails) -> bool:
    """Return whether a job is one of our runs, even if it publishes no numbers."""
    return _is_submitted(job) or "reinforce train" in job.entrypoint


def _published(jobs: RayJobs, job: JobDetails) -> PublishedNumbers | None:
    if job.job_id is None:  # it has not joined Ray yet
        return None
    content = jobs.read_log(job, published_name(job.job_id))
    try:
        return parse_json(content, PublishedNumbers) if content else None
    except ValueError:  # anybody on the cluster can write there
        return None


def _silence_of(job: JobDetails) -> str:
    """Return why nothing is known of a live job: it starts, or is of a kind that tells nothing."""
    age_s = time.time() - (job.start_time or 0) / 1000
    return "starting, no update yet" if age_s < _STARTING_S else "it publishes no numbers"


def _status(jobs: RayJobs, job: JobDetails, told: PublishedNumbers | None) -> RunStatus:
    state, note = _STATES[job.status], in_words(job.message)
    if state == "failed" and exit_code_of(job) in _CODES_AFTER_A_SIGNAL:
        state = "interrupted"  # by a signal, or by `reinforce stop` there
    if told and told.waits_for and state == "running":
        state, note = "waiting", told.waits_for
    elif state == "running":
        job_id = f"job {job.submission_id}" if job.submission_id else ""
        note = ", ".join(filter(None, (job_id, "" if told else _silence_of(job))))
    elif state == "failed" and job.submission_id:
        note = f"`{jobs.log_command(job.submission_id)}` shows why: {note}"
    known: dict[str, Any] = {}
    if told:
        recent = told.recent_return_mean
        known = {
            "path": told.run_directory,
            "recent_return_mean": recent,
            **numbers_of(told.metrics),
        }
    since_ms = job.end_time if job.status.is_terminal() else job.start_time
    name = told.run if told else job.submission_id or job.job_id or "?"
    return RunStatus(name, state, since_ms, in_a_line(note), **known)
