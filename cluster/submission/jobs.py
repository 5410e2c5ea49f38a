"""Ray's job API: submit a command to a cluster, follow its output, learn how it ended."""

import asyncio
import http.client
import json
import shlex
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus

from reinforce.cluster.backends.ray.auth_token import (
    missing_token_advice,
    request_headers,
    token_is_expected,
)
from reinforce.cluster.backends.ray.private import job_client
from reinforce.cluster.errors import ClusterUnreachableError, JobLostError
from reinforce.cluster.proxies import proxy_note

_PROBE_TIMEOUT_S = 5.0
_REQUEST_TIMEOUTS_S = (5.0, 60.0)  # to connect, and to answer
_LOG_TIMEOUT_S = 20.0  # a dashboard asks the node, which may be busy
_SUBMIT_TIMEOUT_S = 30.0

_NO_AGENT = "No available agent"
"""What a dashboard says that has no agent to start a job with."""

_QUIET_S = 30.0
"""Seconds without output after which to ask for the job's status: its cluster may be gone."""

_LOST_AFTER_S = 60.0
"""Seconds without an answer after which following ends; the job itself may continue."""

_RETRY_PAUSE_S = 2.0
_STOP_WAIT_S = "60"
"""Seconds between SIGTERM and SIGKILL of a stopped job, which first writes a checkpoint."""

JOB_PREFIX = "reinforce-"
"""Prefix of the ids of jobs from `reinforce submit`."""

_MAX_LOG = 2**20
"""Largest log that is read at once, in bytes."""

_NO_ANSWER = (OSError, http.client.HTTPException, ValueError, LookupError)
"""Errors of a request without an answer, or with a foreign one."""

_UNREACHABLE = (RuntimeError, OSError, AuthenticationError)
"""Errors of Ray's client and the library below it."""


class RayJobs:
    """The jobs of the cluster whose dashboard is at a URL."""

    def __init__(self, address: str, client: Any) -> None:
        self.address, self._client = address, client

    @classmethod
    def connect(cls, address: str) -> Self:
        """Return the client for a cluster; ClusterUnreachableError if it refuses us.

        ``address`` is a URL, or HOST:PORT.
        """
        address = f"{'' if '://' in address else 'http://'}{address}".rstrip("/")
        _require_dashboard(address)
        try:
            return cls(address, job_client(address, _REQUEST_TIMEOUTS_S))
        except _UNREACHABLE as error:
            raise _unreachable(address, error) from error

    def log_command(self, submission_id: str) -> str:
        """Return the command of Ray's that prints a job's log."""
        mode = "RAY_AUTH_MODE=token " * token_is_expected()  # which Ray's own programs lack
        words = ["ray", "job", "logs", submission_id, "--address", self.address]
        return mode + shlex.join(words)

    def admits_anyone(self) -> bool:
        """Return whether the cluster lists its jobs to somebody who shows no token."""
        try:
            urllib.request.urlopen(f"{self.address}/api/jobs/", timeout=_PROBE_TIMEOUT_S).close()  # noqa: S310
        except OSError:  # refused, or silent, which the next request meets, too
            return False
        return True

    def find(self, submission_id: str) -> JobDetails | None:
        """Return the details of a job; None if there is none with this id."""
        try:
            return self._client.get_job_info(submission_id)
        except _UNREACHABLE as error:
            if isinstance(error, RuntimeError) and "status code 404" in str(error):
                return None
            raise _unreachable(self.address, error) from error

    def all(self) -> list[JobDetails]:
        """Return the details of all jobs and drivers, including finished ones."""
        try:
            return list(self._client.list_jobs())
        except _UNREACHABLE as error:
            raise _unreachable(self.address, error) from error

    def stop(self, submission_id: str) -> None:
        """Ask a job to end after a checkpoint, without waiting."""
        try:
            self._client.stop_job(submission_id)
        except _UNREACHABLE as error:
            raise _unreachable(self.address, error) from error

    def read_log(self, job: JobDetails, name: str) -> bytes:
        """Return a file from the logs of a job's node; empty if it is not available."""
        for node_id in self._nodes_of(job):
            with suppress(*_NO_ANSWER):
                query = urllib.parse.urlencode({"node_id": node_id, "filename": name})
                with _open(f"{self.address}/api/v0/logs/file?{query}", _LOG_TIMEOUT_S) as answer:
                    # A node that does not have it sometimes gives an empty one instead of an error.
                    if content := bytes(answer.read(_MAX_LOG)):
                        return content
        return b""

    def _nodes_of(self, job: JobDetails) -> list[str]:
        """Return the ids of the nodes on the machine of a job's driver."""
        if job.driver_node_id or not job.driver_info:
            return [job.driver_node_id] if job.driver_node_id else []
        wanted = {"node_ip": job.driver_info.node_ip_address, "state": "ALIVE"}
        filters = [("filter_keys", key) for key in wanted]
        filters += [("filter_values", value) for value in wanted.values()]
        filters += [("filter_predicates", "=")] * len(wanted)
        with suppress(*_NO_ANSWER, TypeError):
            url = f"{self.address}/api/v0/nodes?{urllib.parse.urlencode(filters)}"
            with _open(url, _LOG_TIMEOUT_S) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
            return [str(node["node_id"]) for node in nodes]
        return []

    def submit(self, submission_id: str, entrypoint: str, package: Path) -> None:
        """Start a job with a packed working directory.

        A new head node cannot start jobs for some seconds; repeating the request with the same id
        is safe.

        Raises:
            ClusterUnreachableError: The cluster refuses the job.
        """
        deadline_s = time.monotonic() + _SUBMIT_TIMEOUT_S
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_WAIT_S}
        environment = {"working_dir": str(package), "env_vars": variables}
        while True:
            try:
                self._client.submit_job(
                    entrypoint=entrypoint, submission_id=submission_id, runtime_env=environment
                )
            except Exception as error:  # Ray's or requests'
                with suppress(ClusterUnreachableError):
                    if self.find(submission_id):  # it was taken, and the answer was lost
                        return
                if time.monotonic() > deadline_s:
                    raise ClusterUnreachableError(f"{self.address} {_refusal(error)}") from error
                time.sleep(_RETRY_PAUSE_S)
            else:
                return

    def follow(self, submission_id: str, write: Callable[[str], object]) -> JobDetails:
        """Print a job's output from its beginning, and return how it ended.

        Raises:
            JobLostError: The cluster stopped answering, or no longer knows the job.
        """
        log = _ShownOnce(write)
        is_over = False
        while True:
            is_whole = asyncio.run(self._pass_on(submission_id, log))
            try:
                job = self.find(submission_id)
            except ClusterUnreachableError as error:
                if time.monotonic() - log.heard_s >= _LOST_AFTER_S:
                    raise JobLostError(
                        f"{self.address} has not answered for {_LOST_AFTER_S:.0f} s ({error}). The "
                        f"job {submission_id} may still be running: give the same command again to "
                        "follow it"
                    ) from error
            else:
                if job is None:
                    raise JobLostError(
                        f"the cluster at {self.address} no longer knows the job {submission_id}: "
                        "it was restarted. The same command submits the run again; `reinforce "
                        "resume` continues from its checkpoints, if their disk still exists"
                    )
                if job.status.is_terminal() and (is_whole or is_over):
                    return job
                is_over = job.status.is_terminal()  # what it said last may not be shown yet
                log.heard_s = time.monotonic()
            time.sleep(_RETRY_PAUSE_S)

    async def _pass_on(self, submission_id: str, log: "_ShownOnce") -> bool:
        """Print the log; return True at its end, and False if there may be more.

        A machine that is switched off does not close its connections, so only asking again
        distinguishes silence from loss.
        """
        log.begin()
        texts = self._client.tail_job_logs(submission_id)
        while True:
            try:
                async with asyncio.timeout(_QUIET_S):  # Python 3.11's wait_for may swallow Ctrl-C
                    text = await anext(texts)
            except StopAsyncIteration:
                return True
            except Exception:  # noqa: BLE001 - silence, or Ray's or aiohttp's of a torn connection
                return False
            log.add(text)


def _refusal(error: Exception) -> str:
    """Return why a cluster takes no job, and what to do."""
    if _NO_AGENT not in str(error):
        return f"refuses the job: {error}"
    return (
        "cannot take jobs yet: no agent of its nodes is ready. Try again in a minute; if it stays "
        "so, another Ray on the head node held the agent's port at its start, and it never tries "
        "again: start the head with another port, `ray start --dashboard-agent-listen-port PORT`"
    )


class _ShownOnce:
    """Writes a log once, although every new connection sends it from the beginning."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._num_shown = self._num_seen = 0
        self.heard_s = time.monotonic()  # when the cluster last said anything

    def begin(self) -> None:
        """Expect the log from its beginning again."""
        self._num_seen = 0

    def add(self, text: str) -> None:
        """Write the part of this text that was not written before."""
        self.heard_s = time.monotonic()
        self._write(text[max(0, self._num_shown - self._num_seen) :])
        self._num_seen += len(text)
        self._num_shown = max(self._num_shown, self._num_seen)


def exit_code_of(job: JobDetails) -> int:
    """Return the exit code of an ended job, as a shell would."""
    if job.status == JobStatus.SUCCEEDED:
        return 0
    if job.status == JobStatus.STOPPED:
        return 128 + signal.SIGTERM
    code = int(job.driver_exit_code or 1)  # none: it never started
    return code if code > 0 else 128 - code


def in_words(message: str | None) -> str:
    """Return a cluster's message about a job, without the repeated log."""
    return (message or "").partition(", last available logs")[0]


def _unreachable(address: str, error: Exception) -> ClusterUnreachableError:
    if isinstance(error, AuthenticationError):
        return ClusterUnreachableError(f"{address} rejects our token: {missing_token_advice()}")
    if "status code 500" in str(error):  # a head without its GCS, whose dashboard lives on
        return ClusterUnreachableError(
            f"{address} answers, but the cluster behind it probably does not: its head has died or "
            "hangs. If so, start a cluster and repeat the command; `reinforce resume` continues a "
            f"run elsewhere. The answer was: {error}"
        )
    seen = f"{address} does not answer requests about jobs: {error}"
    return ClusterUnreachableError("; ".join(filter(None, (seen, proxy_note(address)))))


def _open(url: str, timeout_s: float = _PROBE_TIMEOUT_S) -> Any:
    """Return the answer to a request with our token."""
    request = urllib.request.Request(url, headers=request_headers())  # noqa: S310
    return urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310


def _require_dashboard(address: str) -> None:
    """Check a dashboard by asking for its Ray version; raise an error if it fails."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClusterUnreachableError(
            f"--address {address!r} is not the URL of a Ray dashboard, such as "
            "http://127.0.0.1:8265 (HOST:6379 is the address for --cluster.address)"
        )
    try:
        with _open(f"{address}/api/version") as answer:
            json.load(answer)["ray_version"]
    except urllib.error.HTTPError as error:
        problem = f"is not a Ray dashboard (HTTP {error.code} for /api/version)"
        if error.code in (401, 403):
            problem = f"rejects our token (HTTP {error.code}): {missing_token_advice()}"
    except (ValueError, KeyError, http.client.HTTPException, ConnectionResetError):
        problem = (
            "answers, but not like a Ray dashboard, whose port is 8265 (6379 is for "
            "--cluster.address)"
        )
    except OSError as error:
        problem = (
            f"does not answer ({getattr(error, 'reason', error)}). Is the dashboard's port "
            "reachable from here? `ray dashboard CLUSTER.yaml`, `kubectl port-forward` or "
            "`ssh -L 8265:127.0.0.1:8265 HEAD` bring it to this machine"
        )
    else:
        return
    seen = f"--address {address!r} {problem}"
    raise ClusterUnreachableError("; ".join(filter(None, (seen, proxy_note(address)))))
