"""A sweep in MLflow: one parent run, below which the runs of its trials are shown.

Those are normal runs, sent by their own followers; they only get tags from here. The ledger is the
truth: whatever MLflow did not take is noted later, by this process or when the sweep is called
again, with the same times, so that nothing is there twice.
"""

import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.sweeps.ledger import SweepLedger, TrialRun
from reinforce.cluster.tracking.mlflow_run import MLflowRun, find_or_create_run, open_state
from reinforce.cluster.tracking.store import TrackingStore, explain_error
from reinforce.configs.config import Config

_HEARTBEAT_S = 30.0
_MAX_WAIT_S = 600.0
"""The sweep itself waits for MLflow: a server that is silent must not keep places of runs empty."""


class SweepTracking:
    """Follows a sweep from its own process, which holds it, as a follower does a run.

    ``warn`` is called with what MLflow does not take, once as long as that is the same.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        ledger: SweepLedger,
        warn: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = RunDirectory(folder)
        self._config, self._ledger, self._warn = config.tracking, ledger, warn
        self._store = TrackingStore.of(config.tracking, Path.cwd())
        self._parent: MLflowRun | None = None
        self._noted: set[tuple[int, int]] = set()
        self._num_ended = 0
        self._clock_s = clock_s
        self._wait_s = _HEARTBEAT_S
        self._due_s = 0.0
        self._last_error = ""

    def keep_up(self) -> None:
        """Note the runs that have ended, and give a sign of life every 30 s; otherwise nothing.

        After an error nothing is tried for a minute, twice as long after the next, at most 10 min.
        """
        num_ended = len(self._ledger.runs())
        is_news = num_ended > self._num_ended and not self._last_error
        if is_news or self._clock_s() >= self._due_s:
            self._num_ended = num_ended
            self._guarded(self._send)
            self._wait_s = min(2 * self._wait_s, _MAX_WAIT_S) if self._last_error else _HEARTBEAT_S
            self._due_s = self._clock_s() + self._wait_s

    def finish(self, status: str, best: float | None) -> None:
        """Note what is left, and give the parent run its status: FINISHED or KILLED."""
        self._guarded(partial(self._finish, status, best))

    def _send(self) -> None:
        children = self._children_to_note()
        if not (children or self._folder.tracking_file.exists()):
            return
        self._parent = parent = self._parent or self._open()
        parent.beat()
        for run, child in children:
            tags = {"mlflow.parentRunId": parent.run_id, "sweep": self._folder.name}
            MLflowRun(self._store, child).set_tags({**tags, "trial": str(run.trial)})
            if run.score is not None:
                self._log(parent, "sweep/score", run.score, self._ended_ms(run), run.trial)
            self._noted.add((run.trial, run.seed))

    def _finish(self, status: str, best: float | None) -> None:
        self._send()
        if self._parent is None:
            return
        if best is not None:
            scored = [run for run in self._ledger.runs() if run.score is not None]
            self._log(self._parent, "sweep/best_score", best, max(map(self._ended_ms, scored)), 0)
        self._parent.finish(status, time.time_ns() // 1_000_000)

    def _children_to_note(self) -> list[tuple[TrialRun, str]]:
        """Return the runs that have ended and are in MLflow by now, with their ids there."""
        news = [run for run in self._ledger.runs() if (run.trial, run.seed) not in self._noted]
        states = [(run, read_tracking_state(self._directory_of(run).tracking_file)) for run in news]
        return [(run, state["run_id"]) for run, state in states if "run_id" in state]

    def _open(self) -> MLflowRun:
        """Return the parent run, found or made, as one that is running on this machine."""
        file = self._folder.tracking_file
        self._store, state = open_state(self._folder, self._config)
        now_ms = time.time_ns() // 1_000_000
        find_or_create_run(self._store, state, file, self._config, now_ms)
        parent = MLflowRun(self._store, state["run_id"])
        tags = {
            "sweep": self._folder.name,
            "kind": "sweep",
            "host": socket.gethostname(),
            "run_directory": str(self._folder.path),
        }
        parent.reopen({}, tags)
        return parent

    def _log(self, parent: MLflowRun, name: str, value: float, time_ms: int, step: int) -> None:
        parent.client.log_metric(parent.run_id, name, value, timestamp=time_ms, step=step)

    def _directory_of(self, run: TrialRun) -> RunDirectory:
        return RunDirectory(self._folder.path / "runs" / run.run)

    def _ended_ms(self, run: TrialRun) -> int:
        """Return when a run ended, which never changes; 0 if its directory is gone."""
        summary = read_summary(self._directory_of(run).summary_file) or {"timestamp_ms": 0}
        return int(summary["timestamp_ms"])

    def _guarded(self, action: Callable[[], None]) -> None:
        text = ""
        try:
            if self._config.enabled:
                action()
        except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
            text = explain_error(error, self._store)
            if text != self._last_error:
                self._warn(
                    f"MLflow does not show all of this sweep: {text}; it is tried again, also when "
                    "the same command is called again"
                )
        self._last_error = text
