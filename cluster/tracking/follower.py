"""The follower: a process that sends a run directory to MLflow as it grows.

The run directory is authoritative. Training never waits for this process and never dies of it; what
it could not send, ``reinforce sync`` sends later by the same code (``cluster.commands.sync``). It
reads from standard input which directory to follow, and knows that the run is over when that input
ends, which happens however the driver dies.

What has been sent is what MLflow has: whenever a run is opened, MLflow is asked how far each metric
goes, and the journal is read from its start. So it makes no difference whether a resumption cut the
journal back, or whether an answer was lost (docs/decisions/0030-what-mlflow-has-was-sent.md).
"""

import io
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import open_for_appending, open_locked, write_json
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory, is_followed
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.tracking_state import ANSWERS_AGAIN
from reinforce.cluster.tracking.experiment import overruled
from reinforce.cluster.tracking.lifeline import is_driver_gone, wait_for_start
from reinforce.cluster.tracking.mlflow_run import (
    INCOMPLETE_TAG,
    MLflowRun,
    find_or_create_run,
    open_state,
)
from reinforce.cluster.tracking.pacing import Pace
from reinforce.cluster.tracking.provenance import note_origin
from reinforce.cluster.tracking.run_description import status_of
from reinforce.cluster.tracking.run_sender import RunSender
from reinforce.cluster.tracking.store import TrackingStore, explain_error
from reinforce.cluster.tracking.system_sampler import SystemSampler
from reinforce.configs.loading import load_config
from reinforce.configs.quoting import command_line

_POLL = Pace(per_elapsed_time=30, min_s=2.0, max_s=10.0)
"""A request costs much, however little it holds: the longer a run lasts, the rarer they are."""

_HEARTBEAT_S = 30.0
_MAX_BACKOFF_S = 30.0
_MAX_UPLOAD_PAUSE_S = 3600.0
_TIMEOUT_S = 3.0
"""For a store that gives nothing but errors when the run is over."""

Result = TypeVar("Result")


class NotSentError(Exception):
    """MLflow did not take what it should have; the message holds no secrets."""


class Follower:
    """Sends one run directory until the run is over.

    Args:
        run: The directory.
        is_over: Waits up to so many seconds and returns whether the run is over.
        timeout_s: How long errors are borne once it is over.
        command: Words of the command line that started it, for the note on its page.
    """

    def __init__(
        self,
        run: RunDirectory,
        is_over: Callable[[float], bool],
        timeout_s: float,
        command: Sequence[str] = (),
    ) -> None:
        self._run = run
        self._is_over = is_over
        self._timeout_s = timeout_s
        self._command = command
        self._config = load_config(str(run.config_file))
        self._over_since_s = math.inf
        self._last_error = self._last_upload_error = ""
        self._upload_due_s = 0.0
        self._upload_pause_s = _HEARTBEAT_S

    def follow(self) -> None:
        """Send everything until the run is over, and give it its status.

        Raises:
            UsageError: Another process does, or the run is in another store than this environment
                names.
            NotSentError: MLflow did not recover in time.
        """
        with self._open() as sender:
            try:
                close_stale_runs(self._store, self._state)
            except Exception as error:  # noqa: BLE001  (an outage; the next run of this host tries again)
                _tell(f"runs that died on this host stay open: {explain_error(error, self._store)}")
            opened_s = beaten_s = time.monotonic()
            while not self._check_over(_POLL.interval_s(time.monotonic() - opened_s)):
                self._send(sender, is_last=False)
                self._upload(sender)
                if time.monotonic() - beaten_s >= _HEARTBEAT_S:
                    self._persistently(sender.beat)
                    beaten_s = time.monotonic()
            self._send(sender, is_last=True)
            self._finish(sender)

    def send_rest(self) -> None:
        """Send what MLflow lacks of a run whose driver lives on, and leave its status alone."""
        with self._open() as sender:
            self._send(sender, is_last=False)
            self._keep(sender, sender.upload)

    @contextmanager
    def _open(self) -> Iterator[RunSender]:
        with self._lock():
            # What identifies the run is noted before MLflow is asked for anything.
            self._store, self._state = open_state(self._run, self._config.tracking)
            for sentence in overruled(self._config.tracking, self._state.get("run_id")):
                _tell(sentence)
            origin = note_origin(self._run.origin_file, self._command)
            with closing(self._persistently(partial(self._make_sender, origin))) as sender:
                # By itself: a refusal is reported and counted once, however often it is tried.
                self._persistently(sender.open)
                yield sender

    def _lock(self) -> io.FileIO:
        while True:
            try:
                return open_locked(self._run.tracking_log)
            except BlockingIOError:
                # The follower of a driver that was killed may still be finishing.
                if self._check_over(_POLL.min_s):
                    raise UsageError(
                        f"{self._run.path} is being sent already; it will be complete when the "
                        "run ends"
                    ) from None

    def _make_sender(self, origin: dict[str, Any]) -> RunSender:
        find_or_create_run(
            self._store,
            self._state,
            self._run.tracking_file,
            self._config.tracking,
            started_ms=int(self._run.config_file.stat().st_mtime * 1000),
        )
        self._mlflow_run = MLflowRun(self._store, self._state["run_id"], self._give_sign)
        return RunSender(self._run, self._config, origin, self._mlflow_run)

    def _send(self, sender: RunSender, *, is_last: bool) -> None:
        self._persistently(sender.notice_cut)
        for request in sender.requests(is_last=is_last):
            self._persistently(partial(sender.send, request))

    def _upload(self, sender: RunSender) -> None:
        """Upload what was drawn or filmed meanwhile; a place that fails is tried more rarely."""
        if time.monotonic() < self._upload_due_s:
            return
        text = ""
        try:
            sender.upload()
        except Exception as error:  # noqa: BLE001  (as many types as places of artifacts)
            text = f"{explain_error(error, self._store)}; artifacts are sent later"
        if text != self._last_upload_error:
            _tell(text or "MLflow: artifacts are stored again")
        pause_s = 2 * self._upload_pause_s if text else _HEARTBEAT_S
        self._last_upload_error, self._upload_pause_s = text, min(pause_s, _MAX_UPLOAD_PAUSE_S)
        self._upload_due_s = time.monotonic() + self._upload_pause_s

    def _finish(self, sender: RunSender) -> None:
        # First what every store takes: artifacts are kept elsewhere, which may be out of reach.
        self._persistently(partial(sender.finish, time.time_ns() // 1_000_000))
        # Imported late: it takes a second, which the first points should not wait for.
        from reinforce.cluster.tracking.models import log_policies

        where = self._mlflow_run, self._state["experiment_id"]
        make_models = partial(log_policies, *where, self._run, self._config, _tell)
        self._keep(sender, partial(sender.upload, make_models))

    def _keep(self, sender: RunSender, keep: Callable[[], None]) -> None:
        """Store artifacts by a function, and note what of them cannot be stored."""
        reason = ""
        try:
            self._persistently(keep)
        except NotSentError as error:
            reason, self._last_error = str(error).removeprefix("MLflow: "), ""
        counts = {"num_refused": sender.num_refused, "unstored": sender.unstored}
        self._state |= {**counts, "unstored_reason": reason}
        write_json(self._run.tracking_file, self._state)
        self._persistently(sender.note_losses)

    def _check_over(self, wait_s: float) -> bool:
        if self._over_since_s == math.inf and self._is_over(wait_s):
            self._over_since_s = time.monotonic()
        return self._over_since_s < math.inf

    def _persistently(self, action: Callable[[], Result]) -> Result:
        """Repeat an action until it succeeds; once the run is over, only for a while."""
        backoff_s = 1.0
        while True:
            try:
                result = action()
            except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
                self._note(explain_error(error, self._store))
            else:
                self._give_sign()
                self._note("")
                return result
            if not self._check_over(0.0):
                self._check_over(backoff_s)
            elif time.monotonic() + backoff_s > self._over_since_s + self._timeout_s:
                raise NotSentError(self._last_error)
            else:
                time.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)

    def _give_sign(self) -> None:
        """Let the driver, when it waits at the end, see that MLflow answers."""
        os.utime(self._run.tracking_log)

    def _note(self, text: str) -> None:
        """Say what is wrong when it changes, and once when it is over."""
        if text != self._last_error:
            _tell(text or ANSWERS_AGAIN)
        self._last_error = text


def close_stale_runs(store: TrackingStore, state: Mapping[str, Any]) -> None:
    """Give a status to the running runs of this host that have neither driver nor follower.

    That happens when a machine loses power or a container is killed with everything in it. Runs of
    other hosts, and those whose directory is not here, are left alone: nothing is known of them.

    ``state`` is the ``tracking.json`` of the run that looks, in its own experiment.
    """
    client = store.client()
    host = socket.gethostname()
    for found in client.search_runs(
        [state["experiment_id"]], f"attributes.status = 'RUNNING' and tags.host = '{host}'"
    ):
        tags, run_id = found.data.tags, found.info.run_id
        run = RunDirectory(Path(tags["run_directory"]))
        if run_id == state["run_id"] or _is_alive(run):
            continue
        summary = read_summary(run.summary_file)
        client.set_tag(run_id, INCOMPLETE_TAG, _way_on(tags, run))
        client.set_terminated(run_id, status_of(summary), _ended_ms(tags, summary))


def _is_alive(run: RunDirectory) -> bool:
    try:
        # A container may have the name of this host, and its runs lie where only it can see them.
        is_elsewhere = not run.path.exists()
        return is_elsewhere or is_followed(run) or is_being_written(run.journal_file)
    except OSError:  # out of reach for this user: nothing can be known of it
        return True


def _way_on(tags: Mapping[str, str], run: RunDirectory) -> str:
    if tags.get("kind") == "sweep":
        return "`reinforce sweep` with the same file continues it"
    return f"`{command_line('sync', run.path)}` sends the rest"


def _ended_ms(tags: Mapping[str, str], summary: Mapping[str, Any] | None) -> int | None:
    """Return when the run ended, as far as anybody knows; None: now."""
    if summary:
        return int(summary["timestamp_ms"])
    heartbeat = tags.get("heartbeat")
    return int(datetime.fromisoformat(heartbeat).timestamp() * 1000) if heartbeat else None


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Follow the directory named on standard input until that input ends."""
    start = wait_for_start()
    if start is None:
        return 0
    path, command, search_path = start
    # Whoever stops a job may signal all its processes. This one ends when the driver has.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run = RunDirectory(path)
    if ":" in load_config(str(run.config_file)).policy.kind:  # a class that becomes a model
        sys.path.extend(folder for folder in search_path if folder not in sys.path)
    with open_for_appending(run.tracking_log) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.utime(run.tracking_log)
    try:
        with SystemSampler(run.system_file):
            Follower(run, is_driver_gone, _TIMEOUT_S, command).follow()
    except UsageError as error:
        _tell(f"MLflow: {error}")
        return 1
    except NotSentError as error:
        _tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
