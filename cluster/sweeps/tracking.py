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

from optuna.trial import TrialState

from reinforce.cluster.files import write_json
from reinforce.cluster.number_format import number as in_digits
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.sweeps.ledger import SweepLedger, run_name, settings_of, trial_name
from reinforce.cluster.tracking.experiment import save_view
from reinforce.cluster.tracking.mlflow_run import MLflowRun, find_or_create_run, open_state
from reinforce.cluster.tracking.store import TrackingStore, explain_error
from reinforce.cluster.tracking.views import score_name, sweep_view
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.configs.sweep import SweepConfig

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
        sweep: SweepConfig,
        config: Config,
        ledger: SweepLedger,
        warn: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = RunDirectory(folder)
        self._sweep = sweep
        self._config, self._ledger, self._warn = config.tracking, ledger, warn
        self._metrics = [score_name(objective.metric) for objective in sweep.objectives]
        self._store = TrackingStore.of(config.tracking, Path.cwd())
        self._parent: MLflowRun | None = None
        self._noted: set[tuple[int, int]] = set()
        self._num_ended = 0
        self._clock_s = clock_s
        self._wait_s = _HEARTBEAT_S
        self._due_s = 0.0
        self._last_error = ""

    def keep_up(self) -> None:
        """Note the trials that are over, and give a sign of life every 30 s; otherwise nothing.

        After an error nothing is tried for a minute, twice as long after the next, at most 10 min.
        """
        num_ended = len(self._ended())
        is_news = num_ended > self._num_ended and not self._last_error
        if is_news or self._clock_s() >= self._due_s:
            self._num_ended = num_ended
            self._guarded(self._send)
            self._wait_s = min(2 * self._wait_s, _MAX_WAIT_S) if self._last_error else _HEARTBEAT_S
            self._due_s = self._clock_s() + self._wait_s

    def finish(self, status: str) -> None:
        """Note what is left, and give the parent run its status: FINISHED or KILLED."""
        self._guarded(partial(self._finish, status))

    def _send(self) -> None:
        children = self._children_to_note()
        if not (children or self._folder.tracking_file.exists()):
            return
        self._parent = parent = self._parent or self._open()
        parent.beat({"mlflow.note.content": self._note()})
        for number, seed, child in children:
            trial = self._ledger.trials[number]
            tags = {"mlflow.parentRunId": parent.run_id, "sweep": self._folder.name}
            about = {"trial": str(number), "trial_state": trial.state.name}
            run = MLflowRun(self._store, child)
            run.set_tags({**tags, **about})
            if trial.state is TrialState.COMPLETE:
                for metric, value in zip(self._metrics, trial.values or (), strict=True):
                    # MLflow draws a metric as bars, one per run, that has nothing but a step 0.
                    time_ms = self._ended_ms(number)
                    run.client.log_metric(child, metric, value, timestamp=time_ms, step=0)
            self._noted.add((number, seed))

    def _finish(self, status: str) -> None:
        self._send()
        if self._parent:
            self._parent.finish(status, time.time_ns() // 1_000_000)

    def _ended(self) -> list[int]:
        trials = self._ledger.trials.items()
        return [number for number, trial in trials if trial.state.is_finished()]

    def _children_to_note(self) -> list[tuple[int, int, str]]:
        """Return number, seed and id in MLflow of the runs that have ended and are there by now."""
        places = [(number, seed) for number in self._ended() for seed in self._sweep.seeds]
        news = [place for place in places if place not in self._noted]
        states = [(*place, read_tracking_state(self._run(*place).tracking_file)) for place in news]
        return [
            (number, seed, state["run_id"]) for number, seed, state in states if "run_id" in state
        ]

    def _open(self) -> MLflowRun:
        """Return the parent run, found or made, as one that is running on this machine."""
        file = self._folder.tracking_file
        self._store, state = open_state(self._folder, self._config)
        now_ms = time.time_ns() // 1_000_000
        find_or_create_run(self._store, state, file, self._config, now_ms)
        parent = MLflowRun(self._store, state["run_id"])
        view = sweep_view(self._folder.name, now_ms, parent.run_id, self._sweep)
        save_view(parent.client, state["experiment_id"], parent.run_id, view)
        link = self._store.link_to_runs(state["experiment_id"], parent.run_id)
        state["link"] = link and f"{link}&compareRunsMode=CHART"
        write_json(file, state)
        tags = {
            "sweep": self._folder.name,
            "kind": "sweep",
            "host": socket.gethostname(),
            "run_directory": str(self._folder.path),
        }
        parent.reopen({}, tags)
        return parent

    def _note(self) -> str:
        """Return what the page of the sweep says: what is tried, and what was best so far."""
        settings = ", ".join(f"`{name}`" for name in self._sweep.settings)
        lines = [
            f"**What.** {counted(self._sweep.num_trials, 'trial')} of {settings}. In the menu "
            "**Views** of "
            f"the list of runs, `{self._folder.name}` shows them as bars, best first."
        ]
        for number in self._ledger.front():
            trial = self._ledger.trials[number]
            settings = ", ".join(f"{name} {value}" for name, value in settings_of(trial).items())
            values = zip(self._metrics, trial.values or (), strict=True)
            scores = ", ".join(f"{name.partition('/')[2]} {in_digits(v)}" for name, v in values)
            lines.append(f"**Best.** `{trial_name(number)}`: {scores}, with {settings}.")
        return "\n\n".join(lines)

    def _run(self, number: int, seed: int) -> RunDirectory:
        return RunDirectory(self._folder.path / "runs" / run_name(number, seed))

    def _ended_ms(self, number: int) -> int:
        """Return when the last run of a trial ended, which never changes; 0 if all are gone."""
        files = (self._run(number, seed).summary_file for seed in self._sweep.seeds)
        return max(
            int((read_summary(file) or {"timestamp_ms": 0})["timestamp_ms"]) for file in files
        )

    def _guarded(self, action: Callable[[], None]) -> None:
        text = ""
        try:
            if self._config.enabled:
                action()
        except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
            text = explain_error(error, self._store)
            if text != self._last_error:
                self._warn(
                    f"MLflow does not show all of this sweep: {text}; it will be sent later, at "
                    "the latest when the same command is run again"
                )
        self._last_error = text
