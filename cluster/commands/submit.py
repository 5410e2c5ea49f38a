"""``reinforce submit``: runs ``reinforce train`` as a job on a cluster."""

import hashlib
import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from reinforce.cluster.commands.arguments import ConfiguredCommand, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.interrupts import signal_behind
from reinforce.cluster.run_store.submitted_files import SUBMITTED_FILES
from reinforce.cluster.submission.jobs import JOB_PREFIX, RayJobs, exit_code_of, in_words
from reinforce.cluster.submission.working_directory import WorkingDirectory
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.loading import preset_names
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line

_say = PlainConsole().say

_SILENCE_S = 3.0
"""Seconds before a line says that the cluster has not taken the job yet."""

_NOT_FOUND = 127
"""A shell's exit code if it does not find a command."""


@dataclass(frozen=True, kw_only=True)
class SubmitCommand(ConfiguredCommand):
    """Run `reinforce train` as a job on a Ray cluster, with the files of the current directory.

    Follows the job's output and returns its exit code. The same command with the same files is the
    same job: repeated, it follows the running job or shows the one that succeeded. Only a job that
    failed or was interrupted runs again.

    With a --run.name it continues from that run's newest checkpoint, even on a new cluster, if the
    disk or store is still there. The files must be the same, and so must the settings that decide
    the result: after an edit, the job refuses the old name. Choose another --run.name for a new
    run, or call `reinforce resume RUN_DIR` on the head node to continue anyway. Relative paths of
    run directories start at $REINFORCE_HOME of the head node, or at its home directory.

    Attributes:
        address: The cluster's dashboard, such as http://127.0.0.1:8265. None:
            $RAY_API_SERVER_ADDRESS.
        detach: Return once the job is submitted.
    """

    address: str | None = None
    detach: Flag = False

    def execute(self) -> int:
        address = self.address or os.environ.get("RAY_API_SERVER_ADDRESS")
        if not address:
            raise UsageError(
                "`reinforce submit` needs the address of a cluster's dashboard: --address "
                "http://HOST:8265, or RAY_API_SERVER_ADDRESS"
            )
        _refuse_what_cannot_travel(self.source, self.config)
        directory = WorkingDirectory.of(Path.cwd())
        jobs = RayJobs.connect(address)
        _warn_of_surprises(jobs, self.config)
        _say(
            f"sends {counted(len(directory.files), 'file')}, {directory.num_bytes / 1024:,.0f} KiB"
        )
        if directory.left_out:
            _say(f"leaves out {', '.join(directory.left_out)}")
        try:
            with tempfile.TemporaryDirectory(prefix="reinforce-submit-") as folder:
                package = directory.pack(Path(folder))
                submission_id = _submit(jobs, self, directory, package)
        except KeyboardInterrupt as interrupt:
            _say("\ninterrupted; if the cluster already has the job, the same command follows it")
            return 128 + signal_behind(interrupt)
        if self.detach:
            _say(
                f"the job is {submission_id}; the same command without --detach follows it, and "
                f"`{jobs.log_command(submission_id)} --follow` its log"
            )
            return 0
        return _follow(jobs, submission_id)


def _refuse_what_cannot_travel(source: str, config: Config) -> None:
    if config.cluster.address not in (None, "auto"):
        raise UsageError(
            f"cluster.address = {config.cluster.address!r}: a job runs on its own cluster; leave "
            "cluster.address out"
        )
    if source in preset_names():
        return
    if Path.cwd().resolve() not in Path(source).resolve().parents:
        raise UsageError(
            f"{source} is outside the current directory, and only that is sent to the cluster; "
            "submit from a folder that contains it"
        )
    if Path(source).is_absolute():
        raise UsageError(
            f"give {source} relative to the current directory, as it is on the cluster"
        )


def _warn_of_surprises(jobs: RayJobs, config: Config) -> None:
    warn = PlainConsole(stderr=True).warn
    if jobs.admits_anyone():
        warn(
            f"warning: anyone who reaches {jobs.address} can run programs on this cluster, which "
            "uses no token; start it again with RAY_AUTH_MODE=token and a token"
        )
    tracking = config.tracking
    if os.environ.get("MLFLOW_TRACKING_URI") and tracking.enabled and not tracking.uri:
        warn(
            "warning: MLFLOW_TRACKING_URI of this shell is not sent; use --tracking.uri, or set it "
            "on the head, where the run looks for it"
        )


def _submit(
    jobs: RayJobs, submitted: SubmitCommand, directory: WorkingDirectory, package: Path
) -> str:
    """Submit the job, or find the one that this command has submitted before."""
    words, config = [submitted.source, *submitted.words], submitted.config
    content = "\0".join((package.name, *words))
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    for attempt in count(1):
        submission_id = f"{JOB_PREFIX}{config.run.name or 'run'}-{digest}-{attempt}"
        job = jobs.find(submission_id)
        if job is None:
            _refuse_a_live_name(jobs, config)
            command = _entrypoint(words, config, directory, package.stem)
            stage = "waiting for the cluster to take the job"
            with waiting(PlainConsole(), stage, line_after_s=_SILENCE_S):
                jobs.submit(submission_id, command, package)
            _say(f"submitted {submission_id} to {jobs.address}")
            break
        if not (job.status.is_terminal() and exit_code_of(job)):  # else it is run again
            _say(f"this command is already {submission_id} ({job.status.value.lower()})")
            break
    return submission_id


def _entrypoint(words: list[str], config: Config, directory: WorkingDirectory, digest: str) -> str:
    """Return the job's shell command, which continues an existing run of its name.

    The run may have begun on a cluster that is gone, on a disk that remains; if the digest shows
    other files, the job refuses (``require_same_files``). A job's own folder is removed with it, so
    runs and the default MLflow store go elsewhere.
    """
    program = ["python", "-m", "reinforce"] if directory.is_our_checkout else ["reinforce"]
    options = ["--cluster.address", "auto"] if config.cluster.backend == "ray" else []
    if config.run.name:
        options += ["--resume", "auto"]
    command = shlex.join([*program, "train", *words, *options])
    home = 'home="${REINFORCE_HOME:-$HOME}"'
    store = 'export MLFLOW_TRACKING_URI="${MLFLOW_TRACKING_URI:-sqlite:///$home/mlflow.db}"; '
    if config.tracking.uri:  # which counts
        store = ""
    command += _directory_option(config)
    return f"{home}; {store}export {SUBMITTED_FILES}={digest}; exec {command}"


def _directory_option(config: Config) -> str:
    """Return the end of a job's command, which says where its run is."""
    home = "" if config.run.directory.is_absolute() else '"$home"/'
    return f" --run.directory {home}{shlex.quote(str(config.run.directory))}"


def _refuse_a_live_name(jobs: RayJobs, config: Config) -> None:
    """Raise UsageError if another command's job trains the run of this name."""
    if config.run.name is None:
        return
    of_this_name = re.compile(rf"{JOB_PREFIX}{re.escape(config.run.name)}-[0-9a-f]{{12}}-\d+")
    for job in jobs.all():
        is_same = of_this_name.fullmatch(job.submission_id or "")
        is_same = is_same and job.entrypoint.endswith(_directory_option(config))
        if is_same and not job.status.is_terminal():
            stop = command_line("stop", job.submission_id, "--address", jobs.address)
            raise UsageError(
                f"the run {config.run.name} is live as {job.submission_id}, with other settings or "
                f"files: choose another --run.name, or stop it with `{stop}`"
            )


def _follow(jobs: RayJobs, submission_id: str) -> int:
    try:
        job = jobs.follow(submission_id, partial(print, end="", flush=True))
    except KeyboardInterrupt as interrupt:
        command = command_line("stop", submission_id, "--address", jobs.address)
        _say(
            "\nno longer following; the job continues. The same command follows it again. After a "
            f"checkpoint\n`{command}` stops it"
        )
        return 128 + signal_behind(interrupt)
    code = exit_code_of(job)
    if code:
        _say(f"{submission_id} {job.status.value.lower()}: {in_words(job.message)}")
    if code == _NOT_FOUND:
        _say(
            "the head node does not find `reinforce`: install this project on every node, in the "
            "environment from which `ray start` is called, with its bin folder on PATH"
        )
    return code
