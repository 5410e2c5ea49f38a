"""A sweep: the runs of all trials, some at a time, until each has come to its end."""

import math
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from reinforce.cluster.files import open_for_appending, write_atomically
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.self_command import module_command, self_environment
from reinforce.cluster.sudden_end import cleaned_up_at_a_sudden_end
from reinforce.cluster.sweeps.ledger import SweepLedger, TrialRun
from reinforce.cluster.sweeps.samplers import make_sampler
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import to_yaml
from reinforce.configs.sweep import SweepConfig

_POLL_S = 0.2

_PROGRAM = "reinforce.cluster.sweeps.trial_program"

_STOP_TIMEOUT_S = 120.0
"""For a run that is to stop: it writes a checkpoint first."""


class Sweep:
    """A sweep in its folder: settings laid over a base, in so many runs at a time.

    ``ledger`` holds what is done already, ``say`` is called with every run that ends, and ``tell``
    with what is waited for.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        base: Config,
        folder: Path,
        ledger: SweepLedger,
        parallel: int,
        say: Callable[[TrialRun], None],
        tell: Callable[[str], None],
    ) -> None:
        self._sweep, self._base = sweep, base
        self._folder, self._ledger, self._say, self._tell = folder, ledger, say, tell
        self._parallel = parallel
        self._sampler = make_sampler(sweep)
        # The trials that are under way when another begins: what Optuna has not heard of by then is
        # so a matter of numbers, and not of who came first.
        self._unheard = math.ceil(parallel / len(sweep.seeds)) - 1
        self._running: list[TrialProcess] = []

    @property
    def best_score(self) -> float | None:
        """The highest mean score of a trial so far; None before the first."""
        scores = map(self._ledger.score, range(self._sweep.num_trials))
        return max((score for score in scores if score is not None), default=None)

    def run(self, interrupts: Interrupts, keep_up: Callable[[], None]) -> None:
        """Run what has not come to its end yet, and call ``keep_up`` again and again.

        Raises:
            InterruptedRunError: A signal came; the runs in progress have written checkpoints.
        """
        waiting = deque(
            (trial, seed)
            for trial in range(self._sweep.num_trials)
            for seed in self._sweep.seeds
            if self._ledger.find(trial, seed) is None
        )
        with cleaned_up_at_a_sudden_end(self._abandon):
            self._wait_for_others(waiting, interrupts, keep_up)
            try:
                while waiting or self._running:
                    interrupts.check()
                    ended = self._take_ended()
                    while (
                        waiting
                        and len(self._running) < self._parallel
                        and self._is_due(*waiting[0])
                    ):
                        refused = self._begin(*waiting.popleft())
                        ended += [refused] if refused else []
                    for done in ended:
                        self._ledger.add(done)
                        self._say(done)
                    keep_up()
                    if not ended:
                        time.sleep(_POLL_S)
            finally:
                for process in self._running:
                    process.let_go()
                for process in self._running:
                    process.wait()

    def _wait_for_others(
        self,
        waiting: Iterable[tuple[int, int]],
        interrupts: Interrupts,
        keep_up: Callable[[], None],
    ) -> None:
        """Wait for runs that others have in hand: those of a sweep that was killed are ending."""
        runs = [self._directory_of(trial, seed) for trial, seed in waiting]
        is_said = False
        while alive := [run for run in runs if is_being_written(run.journal_file)]:
            if not is_said:
                self._tell(
                    f"{len(alive)} of its runs are still made by other processes: waits for their "
                    f"end, such as {alive[0].path}"
                )
            is_said = True
            interrupts.check()
            keep_up()
            time.sleep(_POLL_S)

    def _directory_of(self, trial: int, seed: int) -> RunDirectory:
        return RunDirectory(self._folder / "runs" / _run_name(trial, seed))

    def _take_ended(self) -> list[TrialRun]:
        """Return what came of the runs that are over, and go on with the others."""
        # Each is asked once: one that ended between two questions would be in neither list.
        over = [each for each in self._running if each.is_over()]
        self._running = [each for each in self._running if each not in over]
        for each in over:
            each.let_go()
        return [each.outcome() for each in over]

    def _is_due(self, trial: int, seed: int) -> bool:
        """Return whether everything that the settings of a trial follow from is known."""
        before = range(trial - self._unheard)
        ends = ((number, each) for number in before for each in self._sweep.seeds)
        return self._sweep.method != "optuna" or all(self._ledger.find(*end) for end in ends)

    def _begin(self, trial: int, seed: int) -> TrialRun | None:
        """Start a run; return its end if its settings do not go together."""
        settings = self._settings_of(trial)
        name = _run_name(trial, seed)
        identity = {"name": name, "seed": seed, "directory": str(self._folder / "runs")}
        try:
            values = self._sweep.config(self._base, settings).model_dump(mode="json")
            config = Config.model_validate({**values, "run": {**values["run"], **identity}})
        except ConfigError as error:
            return TrialRun(trial, seed, settings, "failed", None, name, str(error))
        self._running.append(TrialProcess(trial, settings, config, self._folder))
        return None

    def _settings_of(self, trial: int) -> dict[str, Any]:
        """Return what a trial tries: all its seeds the same, also after an interruption."""
        settings = self._ledger.settings_of(trial)
        if settings is None:
            settings = self._sampler(trial, self._ledger.history(max(trial - self._unheard, 0)))
            self._ledger.begin(trial, settings)
        return settings

    def _abandon(self) -> None:
        for process in self._running:
            process.abandon()


def _run_name(trial: int, seed: int) -> str:
    return f"trial-{trial:04d}-seed-{seed}"


class TrialProcess:
    """A run that goes on, or that had come to its end before.

    Its configuration and output are kept in the folder of the sweep.
    """

    def __init__(self, trial: int, settings: dict[str, Any], config: Config, folder: Path) -> None:
        self._trial, self._seed, self._settings = trial, config.run.seed, settings
        name = str(config.run.name)
        self._target_metric = config.stop.target_metric
        self._run = RunDirectory(config.run.directory / name)
        self._log = folder / "logs" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        if self._summary()["status"] == "finished":
            return
        file = folder / "configs" / f"{name}.yaml"
        for path in (file, self._log):
            path.parent.mkdir(exist_ok=True)
        write_atomically(file, to_yaml(config).encode())
        with open_for_appending(self._log) as output:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                module_command(_PROGRAM, "train", str(file), "--resume", "auto"),
                env=_environment_of_a_trial(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                # Out of the terminal's group: Ctrl-C reaches it once, through us.
                start_new_session=True,
            )

    def is_over(self) -> bool:
        """Return whether nobody is at work on it any more, this process or another."""
        is_ended = self._process is None or self._process.poll() is not None
        return is_ended and not is_being_written(self._run.journal_file)

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

    def outcome(self) -> TrialRun:
        """Return what came of a run that is over."""
        about = self._trial, self._seed, self._settings
        summary = self._summary()
        if summary["status"] == "finished" and summary.get("evaluation"):
            metric, evaluation = self._target_metric, summary["evaluation"]
            score = (
                evaluation.get("metrics", {}).get(metric) if metric else evaluation["return_mean"]
            )
            if score is None:
                error = f"no episode of its last evaluation has stop.target_metric = {metric!r}"
                return TrialRun(*about, "failed", None, self._run.name, error)
            return TrialRun(*about, "finished", score, self._run.name)
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return TrialRun(*about, "failed", None, self._run.name, (said or ["nothing"])[-1])

    def _summary(self) -> dict[str, Any]:
        return read_summary(self._run.summary_file) or {"status": "none"}


def _environment_of_a_trial() -> dict[str, str]:
    """Return the variables of a trial, whose run in MLflow is its own, below that of the sweep."""
    environment = self_environment()
    environment.pop("MLFLOW_RUN_ID", None)
    return environment
