"""A sweep: the runs of all trials, some at a time, until each has come to its end."""

import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.interrupts import Interrupts
from cluster.sweeps.ledger import SweepLedger, TrialRun
from cluster.sweeps.samplers import make_sampler, num_trials
from cluster.sweeps.trial_process import TrialProcess
from configs.config import Config
from configs.section import ConfigError
from configs.sweep import SweepConfig

_POLL_S = 0.2


class Sweep:
    """A sweep in its folder.

    Args:
        sweep: What is tried.
        base: What the settings are laid over.
        folder: Where.
        ledger: What is done already.
        parallel: Runs at a time, >= 1.
        say: Is told of every run that ends.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        base: Config,
        folder: Path,
        ledger: SweepLedger,
        parallel: int,
        say: Callable[[TrialRun], None],
    ) -> None:
        self._sweep, self._base = sweep, base
        self._folder, self._ledger, self._say = folder, ledger, say
        self._parallel = parallel
        self._sampler = make_sampler(sweep)
        # The trials that are under way when another begins: what Optuna has not heard of by then is
        # so a matter of numbers, and not of who came first.
        self._unheard = math.ceil(parallel / len(sweep.seeds)) - 1
        self._running: list[TrialProcess] = []

    @property
    def best_score(self) -> float | None:
        """The highest mean score of a trial so far; None before the first."""
        scores = map(self._ledger.score, range(num_trials(self._sweep)))
        return max((score for score in scores if score is not None), default=None)

    def run(self, interrupts: Interrupts, keep_up: Callable[[], None]) -> None:
        """Run what has not come to its end yet.

        Args:
            interrupts: Signals of the user.
            keep_up: Called again and again, whether or not anything has ended.

        Raises:
            InterruptedRunError: A signal came; the runs in progress have written checkpoints.
        """
        waiting = deque(
            (trial, seed)
            for trial in range(num_trials(self._sweep))
            for seed in self._sweep.seeds
            if self._ledger.find(trial, seed) is None
        )
        interrupts.when_abandoned(self._tell_to_stop)
        try:
            while waiting or self._running:
                interrupts.check()
                ended = self._take_ended()
                while waiting and len(self._running) < self._parallel and self._is_due(*waiting[0]):
                    refused = self._begin(*waiting.popleft())
                    ended += [refused] if refused else []
                for done in ended:
                    self._ledger.add(done)
                    self._say(done)
                keep_up()
                if not ended:
                    time.sleep(_POLL_S)
        finally:
            self._tell_to_stop()
            for process in self._running:
                process.wait()

    def _take_ended(self) -> list[TrialRun]:
        """Return what came of the runs that are over, and go on with the others."""
        # Each is asked once: one that ended between two questions would be in neither list.
        over = [each for each in self._running if each.is_over()]
        self._running = [each for each in self._running if each not in over]
        return [each.outcome() for each in over]

    def _is_due(self, trial: int, seed: int) -> bool:
        """Return whether everything that the settings of a trial follow from is known."""
        before = range(trial - self._unheard)
        ends = ((number, each) for number in before for each in self._sweep.seeds)
        return self._sweep.method != "optuna" or all(self._ledger.find(*end) for end in ends)

    def _begin(self, trial: int, seed: int) -> TrialRun | None:
        """Start a run; return its end if its settings do not go together."""
        settings = self._settings_of(trial)
        name = f"trial-{trial:04d}-seed-{seed}"
        identity = {"name": name, "seed": seed, "directory": str(self._folder / "runs")}
        try:
            values = self._sweep.config(self._base, settings).model_dump(mode="json")
            config = Config.model_validate({**values, "run": identity})
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

    def _tell_to_stop(self) -> None:
        for process in self._running:
            process.tell_to_stop()
