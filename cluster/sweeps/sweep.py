"""A sweep: the runs of all trials, some at a time, until each trial has come to its end.

With a pruner a trial is trained from rung to rung, each so many environment steps, and measured
there as at the end. Every rung is a limit of a normal run, which is resumed exactly: a trial that
is never pruned has the weights of a run that was never stopped.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import FrozenTrial

from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.sudden_end import cleaned_up_at_a_sudden_end
from reinforce.cluster.sweeps.ledger import SweepLedger, run_name, settings_of
from reinforce.cluster.sweeps.proposals import Proposals, Pruning
from reinforce.cluster.sweeps.trial_process import RunEnd, TrialProcess
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.sweep import SweepConfig

_POLL_S = 0.2


@dataclass
class _Live:
    """A trial that goes on.

    Attributes:
        config: Of all its runs, but for the seed.
        rung: Where it is trained to, counted from 0.
        seeds: Those whose runs have not begun to be trained to there.
        ends: By seed, what came of those that are there.
    """

    config: Config
    rung: int
    seeds: list[int]
    ends: dict[int, RunEnd] = field(default_factory=dict)


class Sweep:
    """A sweep in its folder: settings laid over a base, in so many runs at a time.

    ``ledger`` holds what is done already, ``say`` is called with every trial that begins, goes on
    after a rung or ends, and ``tell`` with what is waited for.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        base: Config,
        folder: Path,
        ledger: SweepLedger,
        parallel: int,
        say: Callable[[FrozenTrial], None],
        tell: Callable[[str], None],
    ) -> None:
        self._sweep, self._base = sweep, base
        self._folder, self._ledger, self._say, self._tell = folder, ledger, say, tell
        self._parallel = parallel
        # The trials that are under way when another begins: what is not known by then is so a
        # matter of numbers, and not of who came first.
        unheard = math.ceil(parallel / len(sweep.seeds)) - 1
        self._proposals = Proposals(sweep, ledger.trials, unheard)
        self._pruning = Pruning(sweep, ledger.trials, unheard)
        self._live: dict[int, _Live] = {}
        self._running: dict[tuple[int, int], TrialProcess] = {}

    def run(self, interrupts: Interrupts, keep_up: Callable[[], None]) -> None:
        """Run what has not come to its end yet, and call ``keep_up`` again and again.

        Raises:
            InterruptedRunError: A signal came; the runs in progress have written checkpoints.
        """
        with cleaned_up_at_a_sudden_end(self._abandon):
            self._wait_for_others(interrupts, keep_up)
            for number, trial in self._ledger.trials.items():
                if not trial.state.is_finished():
                    self._take_up(number)
            try:
                while self._live or self._num_begun < self._sweep.num_trials:
                    interrupts.check()
                    is_news = self._take_ended()
                    for number in list(self._live):
                        self._conclude(number)
                    self._begin()
                    keep_up()
                    if not is_news:
                        time.sleep(_POLL_S)
            finally:
                for process in self._running.values():
                    process.let_go()
                for process in self._running.values():
                    process.wait()

    @property
    def running(self) -> list[RunDirectory]:
        """Those runs that have a process now."""
        return [self._run_directory(*place) for place in self._running]

    @property
    def _num_begun(self) -> int:
        return len(self._ledger.trials)

    def _wait_for_others(self, interrupts: Interrupts, keep_up: Callable[[], None]) -> None:
        """Wait for runs that others have in hand: those of a sweep that was killed are ending."""
        runs = [
            self._run_directory(number, seed)
            for number, trial in self._ledger.trials.items()
            for seed in self._sweep.seeds
            if not trial.state.is_finished()
        ]
        is_said = False
        while alive := [run for run in runs if is_being_written(run.journal_file)]:
            if not is_said:
                self._tell(
                    "waiting for runs that other processes are still training: "
                    f"{len(alive)}, such as {alive[0].path}"
                )
            is_said = True
            interrupts.check()
            keep_up()
            time.sleep(_POLL_S)

    def _run_directory(self, number: int, seed: int) -> RunDirectory:
        return RunDirectory(self._folder / "runs" / run_name(number, seed))

    def _take_ended(self) -> bool:
        """Take note of the runs that are over; return whether there are any."""
        # Each is asked once: one that ended between two questions would be lost.
        over = [place for place, process in self._running.items() if process.is_over()]
        for number, seed in over:
            self._live[number].ends[seed] = self._running.pop((number, seed)).end()
        return bool(over)

    def _begin(self) -> None:
        """Start runs while there are places: of trials that go on, then of others."""
        while len(self._running) < self._parallel:
            number = next((each for each, live in self._live.items() if live.seeds), None)
            if number is not None:
                self._start(number, self._live[number].seeds.pop(0))
            elif self._num_begun < self._sweep.num_trials and self._proposals.is_due(
                self._num_begun
            ):
                number = self._num_begun
                self._ledger.begin(number, self._proposals.of(number))
                self._take_up(number)
            else:
                return

    def _take_up(self, number: int) -> None:
        """Have a trial go on from its last report; it fails if its settings do not go together."""
        trial = self._ledger.trials[number]
        try:
            config = self._sweep.config(self._base, settings_of(trial))
        except ConfigError as error:
            self._ledger.fail(number, str(error))
            self._say(self._ledger.trials[number])
            return
        num_reports = len(trial.intermediate_values)
        seeds = [] if num_reports else list(self._sweep.seeds)
        if seeds:
            self._say(trial)
        self._live[number] = _Live(config, max(num_reports - 1, 0), seeds)

    def _start(self, number: int, seed: int) -> None:
        live = self._live[number]
        own = {"name": run_name(number, seed), "seed": seed, "directory": self._folder / "runs"}
        config = live.config.model_copy(update={"run": live.config.run.model_copy(update=own)})
        rung = self._sweep.rung(live.rung)
        self._running[number, seed] = TrialProcess(config, rung, self._sweep.metrics, self._folder)

    def _conclude(self, number: int) -> None:
        """End a trial, or have it go on to the next rung, if it is ripe for that."""
        live, steps = self._live[number], self._sweep.rung(self._live[number].rung)
        is_reported = steps in self._ledger.trials[number].intermediate_values
        if not is_reported and len(live.ends) == len(self._sweep.seeds):
            self._note_ends(number, steps)
        trial = self._ledger.trials[number]
        if trial.state.is_finished():
            del self._live[number]
            self._say(trial)
        elif steps in trial.intermediate_values and self._pruning.is_due(number, steps or 0):
            if self._pruning.is_pruned(number, live.rung):
                self._ledger.prune(number)
                del self._live[number]
            else:
                live.rung, live.seeds, live.ends = live.rung + 1, list(self._sweep.seeds), {}
            self._say(self._ledger.trials[number])

    def _note_ends(self, number: int, steps: int | None) -> None:
        """Note what came of the runs of a trial: a failure, a report at a rung, or its end."""
        ends = self._live[number].ends
        failed = [f"seed {seed}: {end.error}" for seed, end in ends.items() if end.error]
        if failed:
            self._ledger.fail(number, min(failed))
        elif steps and any(end.is_at_rung for end in ends.values()):
            self._ledger.report(number, steps, self._mean(number, self._sweep.metrics[0]))
        else:
            self._finish(number)

    def _finish(self, number: int) -> None:
        objectives, limits = self._sweep.objectives, self._sweep.constraints
        values = [self._mean(number, objective.metric) for objective in objectives]
        excess = {metric: self._mean(number, metric) - most for metric, most in limits.items()}
        self._ledger.finish(number, values, excess)

    def _mean(self, number: int, metric: str) -> float:
        # In the order of the seeds, for a sum depends on it; that of the ends is chance.
        ends = self._live[number].ends
        values = [(ends[seed].measured or {})[metric] for seed in self._sweep.seeds]
        return sum(values) / len(values)

    def _abandon(self) -> None:
        for process in self._running.values():
            process.abandon()
