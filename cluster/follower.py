"""The follower: a process that sends a run directory to MLflow as it grows.

The run directory is the truth. Training never waits for this process and never dies of it; what it
could not send, ``reinforce sync`` sends later by the same code. It is told on standard input which
directory to follow, and it knows that the run is over when that input ends, which happens however
the driver dies.
"""

import fcntl
import getpass
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cluster.errors import UsageError
from cluster.journal import Record
from cluster.metric_windows import MetricWindows
from cluster.mlflow_run import MLflowRun, TrackingStore, create_run
from cluster.run_directory import RunDirectory, read_json, write_json
from configs.config import Config
from configs.loading import load_config

_POLL_S = 0.25
_MAX_BACKOFF_S = 30.0
_PATIENCE_S = 10.0
"""For a store that does not answer when the run is over."""

_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}

Result = TypeVar("Result")


class AlreadyFollowedError(Exception):
    """Another process sends this run directory at the moment."""


class NotSentError(Exception):
    """MLflow did not take what it should have; the message holds no secrets."""


class Lifeline:
    """Standard input, held open by the driver: silent while the run lives, at its end when over."""

    def read_run_directory(self) -> Path | None:
        """Wait for the path to follow; None if the driver ended before it had one."""
        line = sys.stdin.buffer.readline().decode().strip()
        return Path(line) if line else None

    def is_over(self, wait_s: float) -> bool:
        """Wait up to ``wait_s`` seconds and return whether the run is over."""
        readable, _, _ = select.select([sys.stdin], [], [], wait_s)
        return bool(readable) and os.read(sys.stdin.fileno(), 4096) == b""


class Follower:
    """Sends one run directory, from where the last attempt stopped to its end."""

    def __init__(
        self, run: RunDirectory, is_over: Callable[[float], bool], patience_s: float
    ) -> None:
        self._run = run
        self._is_over = is_over
        self._patience_s = patience_s
        self._config = load_config(str(run.config_file))
        self._state = read_json(run.tracking_file)
        self._store = TrackingStore.of(
            self._config.tracking, Path(self._state["directory"]) if self._state else Path.cwd()
        )
        self._windows = MetricWindows()
        self._over_since_s: float | None = None
        # Bytes of the journal that were read and that were sent.
        self._position = self._offset = self._state["offset"] if self._state else 0

    def follow(self) -> None:
        """Send everything until the run is over.

        Raises:
            AlreadyFollowedError: Another process does.
            NotSentError: MLflow did not recover within the patience.
        """
        with self._run.tracking_log.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyFollowedError(f"{self._run.path} is being sent already") from None
            mlflow_run = self._persistently(self._open)
            while True:
                over = self._check_over(_POLL_S)
                self._send_new_records(mlflow_run, is_last=over)
                if over:
                    break
            self._persistently(lambda: self._finish(mlflow_run))

    def _open(self) -> MLflowRun:
        if self._state is None:
            started_ms = int(self._run.config_file.stat().st_mtime * 1000)
            self._state = create_run(
                self._store, self._config.tracking.experiment, self._run.name, started_ms
            )
            self._save_state()
        mlflow_run = MLflowRun(self._store, self._state["run_id"])
        mlflow_run.reopen(params_of(self._config), self._tags())
        return mlflow_run

    def _tags(self) -> dict[str, str]:
        return {
            "mlflow.user": _user(),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "reinforce",
            "environment": self._config.environment.id,
            "seed": str(self._config.run.seed),
            "run_directory": str(self._run.path),
            "mlflow.note.content": (
                f"REINFORCE on {self._config.environment.id}. To repeat it: "
                "`reinforce train config.yaml --run.name NEW_NAME` with the artifact config.yaml."
            ),
        }

    def _send_new_records(self, mlflow_run: MLflowRun, *, is_last: bool) -> None:
        points: list[tuple[str, float, int, int]] = []
        sent_up_to = self._offset
        for start, end, line in self._new_lines():
            for record in self._windows.add(Record.parse(line)):
                points.extend(_points(record))
                # A window is complete with the update that follows it, an evaluation with itself.
                sent_up_to = start if record.batch else end
        if is_last:
            for record in self._windows.flush():
                points.extend(_points(record))
            sent_up_to = self._position
        if points:
            self._persistently(lambda: mlflow_run.log_metrics(points))
            self._offset = sent_up_to
            self._save_state()

    def _new_lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (start, end, line) of what was appended since the last call, whole lines only."""
        if not self._run.journal_file.exists():
            return
        with self._run.journal_file.open("rb") as journal:
            journal.seek(self._position)
            for line in journal:
                if not line.endswith(b"\n"):  # being written at this moment
                    return
                start, self._position = self._position, self._position + len(line)
                yield start, self._position, line

    def _finish(self, mlflow_run: MLflowRun) -> None:
        summary = read_json(self._run.summary_file) or {"status": "lost"}
        mlflow_run.log_artifact(self._run.config_file)
        if self._run.summary_file.exists():
            mlflow_run.log_artifact(self._run.summary_file)
        for plot in sorted(self._run.plots.glob("*.png")):
            mlflow_run.log_artifact(plot, "plots")
        kept = ("stop_reason", "weights_sha256")
        tags: dict[str, str] = {name: str(summary[name]) for name in kept if name in summary}
        ended_ms = summary.get("timestamp_ms") or time.time_ns() // 1_000_000
        mlflow_run.finish(_STATUS.get(summary["status"], "FAILED"), tags, ended_ms)

    def _save_state(self) -> None:
        self._state = {**(self._state or {}), "offset": self._offset}
        write_json(self._run.tracking_file, self._state)

    def _check_over(self, wait_s: float) -> bool:
        if self._over_since_s is None and self._is_over(wait_s):
            self._over_since_s = time.monotonic()
        return self._over_since_s is not None

    def _explained(self, error: Exception) -> str:
        return self._store.without_secrets(f"MLflow: {type(error).__name__}: {error}")

    def _persistently(self, action: Callable[[], Result]) -> Result:
        """Repeat an action until it succeeds; once the run is over, only for a while."""
        backoff_s = 1.0
        while True:
            try:
                return action()
            except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
                print(self._explained(error), file=sys.stderr, flush=True)
                self._check_over(0.0)
                over_s = self._over_since_s
                if over_s is not None and time.monotonic() + backoff_s > over_s + self._patience_s:
                    raise NotSentError(self._explained(error)) from None
                time.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that nobody knows
        return str(os.getuid())


def params_of(config: Config) -> dict[str, str]:
    """Return every setting as ``section.key``, resolved, for MLflow."""
    return {
        f"{section}.{key}": str(value)
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
    }


def _points(record: Record) -> list[tuple[str, float, int, int]]:
    return [
        (name, value, record.timestamp_ms, record.environment_steps)
        for name, value in record.metrics.items()
    ]


def sync_run_directory(run: RunDirectory) -> None:
    """Send what MLflow missed of a run that is over.

    Raises:
        UsageError: It is being sent at the moment, or MLflow does not take it.
    """
    try:
        Follower(run, is_over=lambda wait_s: True, patience_s=0.0).follow()
    except AlreadyFollowedError as error:
        raise UsageError(f"{error}; it will be complete when the run ends") from None
    except NotSentError as error:
        raise UsageError(f"{error}\nNothing is lost: call `reinforce sync` again") from None


def main() -> int:
    """Follow the directory named on standard input until that input ends."""
    lifeline = Lifeline()
    path = lifeline.read_run_directory()
    if path is None:
        return 0
    run = RunDirectory(path)
    log = os.open(run.tracking_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    try:
        Follower(run, lifeline.is_over, patience_s=_PATIENCE_S).follow()
    except NotSentError:  # said in the log already
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
