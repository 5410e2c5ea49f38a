"""One run of a trial, trained to a rung or to its end in a process of its own."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from reinforce.cluster.files import open_for_appending, write_atomically
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.trial_limit import RUNG_SETTING, configuration_file
from reinforce.cluster.self_command import module_command, self_environment
from reinforce.configs.config import Config
from reinforce.configs.loading import to_yaml
from reinforce.configs.sweep import ENVIRONMENT_STEPS, SCORE

_PROGRAM = "reinforce.cluster.sweeps.trial_program"
_RUNG = RUNG_SETTING.removeprefix("stop.")
"""The stop reason of a run that has come to a rung."""

_MAX_STARTS = 3
"""Starts of a run that dies without a word, as with its node or when memory is short."""

_NO_SUMMARY: dict[str, Any] = {"status": "none"}

_STOP_TIMEOUT_S = 120.0
"""Time for a run to stop: it writes a checkpoint first."""


@dataclass(frozen=True)
class RunEnd:
    """What came of a run, at a rung or at its end.

    Attributes:
        measured: By metric; None if it failed.
        is_at_rung: Whether it can be trained on.
        error: The last line that a failed run said.
    """

    measured: dict[str, float] | None
    is_at_rung: bool = False
    error: str | None = None


class TrialProcess:
    """A run that is trained to a number of environment steps, if it is not there already.

    Its configuration and output are kept in the folder of the sweep.

    Args:
        config: Of the whole run.
        rung: Environment steps to stop after; None: where the configuration says.
        metrics: What to measure at the end.
        folder: That of the sweep.
    """

    def __init__(
        self, config: Config, rung: int | None, metrics: Sequence[str], folder: Path
    ) -> None:
        name, own = str(config.run.name), config.stop.max_environment_steps
        self._rung = rung if rung and rung < (own or float("inf")) else None
        self._limit = self._rung or own or float("inf")
        self._metrics, self._target_metric = metrics, config.stop.target_metric
        self._run = RunDirectory(config.run.directory / name)
        self._log = folder / "logs" / f"{name}.log"
        self._file = configuration_file(folder, name)
        self._process: subprocess.Popen[bytes] | None = None
        self._num_starts, self._before = 0, _NO_SUMMARY
        if not self._has_come_so_far():
            for path in (self._file, self._log):
                path.parent.mkdir(exist_ok=True)
            write_atomically(self._file, to_yaml(config).encode())
            self._start()

    def _has_come_so_far(self) -> bool:
        summary = self._summary()
        return summary["status"] == "finished" and not (
            summary["stop_reason"] == _RUNG and self._limit > summary["environment_steps"]
        )

    def _start(self) -> None:
        self._num_starts += 1
        self._before = self._summary()
        rung = [f"--{RUNG_SETTING}={self._rung}"] if self._rung else []
        with open_for_appending(self._log) as output:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                module_command(_PROGRAM, "train", str(self._file), "--resume", "auto", *rung),
                env=_environment_of_a_trial(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                # Out of the terminal's group: Ctrl-C reaches it once, through us.
                start_new_session=True,
            )

    def is_over(self) -> bool:
        """Return whether nobody is at work on it any more; begin it again if it died."""
        is_ended = self._process is None or self._process.poll() is not None
        if not is_ended or is_being_written(self._run.journal_file):
            return False
        self.let_go()
        if self._has_died() and self._num_starts < _MAX_STARTS:
            self._start()
            return False
        return True

    def _has_died(self) -> bool:
        """Return whether the process ended and left no verdict; 2 is one, on the configuration."""
        is_mute = self._summary() in (_NO_SUMMARY, self._before)
        return is_mute and self._process is not None and self._process.poll() not in (0, 2)

    def let_go(self) -> None:
        """Let go of its lifeline: it ends in good order, if it has not ended yet."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def abandon(self) -> None:
        """Have it end at once, if it was let go before."""
        if self._process:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, after it was let go, and kill it if it does not come."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def end(self) -> RunEnd:
        """Return what came of a run that is over."""
        summary = self._summary()
        is_good = self._has_come_so_far() or (self._process and self._process.poll() == 0)
        if summary["status"] != "finished" or not summary.get("evaluation") or not is_good:
            said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return RunEnd(None, error=(said or ["nothing"])[-1])
        measured = {}
        for metric in self._metrics:
            value = self._measured(metric, summary)
            if value is None:
                goal = f"stop.target_metric = {self._target_metric!r}"
                name = goal if metric == SCORE else metric
                return RunEnd(None, error=f"no episode of its last evaluation has {name}")
            measured[metric] = value
        # One that has another reason, too, stays short of the next rung, and is at its end.
        is_there = summary["stop_reason"] == _RUNG and summary["environment_steps"] >= self._limit
        return RunEnd(measured, is_at_rung=self._rung is not None and is_there)

    def _measured(self, metric: str, summary: dict[str, Any]) -> float | None:
        name, evaluation = self._target_metric if metric == SCORE else metric, summary["evaluation"]
        if name is None:
            return float(evaluation["return_mean"])
        of_all = {**evaluation.get("metrics", {}), ENVIRONMENT_STEPS: summary["environment_steps"]}
        return cast("float | None", of_all.get(name))

    def _summary(self) -> dict[str, Any]:
        return read_summary(self._run.summary_file) or _NO_SUMMARY


def _environment_of_a_trial() -> dict[str, str]:
    """Return the variables of a trial, whose run in MLflow is its own, below that of the sweep."""
    environment = self_environment()
    environment.pop("MLFLOW_RUN_ID", None)
    return environment
