"""The lifecycle of a run: puts everything it needs together, and takes it apart however it ends."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from typing import Any

from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.backends.backend import Backend, Driver
from reinforce.cluster.bookkeeping import RunContext
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.display import LiveDisplay, PlainDisplay, make_display
from reinforce.cluster.errors import (
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    UsageError,
)
from reinforce.cluster.export.video import film_last_and_best
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_requests import RequestsReader
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal, JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import (
    Outcome,
    add_run_id,
    print_summary,
    write_failure,
    write_summary,
)
from reinforce.cluster.tracking.follower_process import Tracking
from reinforce.cluster.training import Training
from reinforce.configs.config import Config
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.preflight import preflight


def open_backend(
    config: Config, spec: EnvironmentSpec, driver: Driver, state: LearnerState | None = None
) -> AbstractContextManager[Backend]:
    """Return the backend that the configuration names; only that one is imported.

    Args:
        config: What to run.
        spec: The environment's spaces.
        driver: This process.
        state: Of the learner to go on from; None: a new one.
    """
    if config.cluster.backend == "inline":
        from reinforce.cluster.backends.inline import inline_backend

        return inline_backend(config, spec, driver, state)
    if config.cluster.address is None:
        # Read when Ray is imported: every server of a local Ray then listens on loopback only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from reinforce.cluster.backends.ray.backend import ray_backend

    return ray_backend(config, spec, driver, state)


@dataclass(frozen=True)
class RunLifecycle:
    """Trains in a run directory, from a checkpoint or from the beginning.

    Attributes:
        config: What to run.
        spec: The environment's spaces.
        run: Where to.
        journal: That of the run, open and ours.
        console: Where the display and the summary go.
        started_s: ``time.monotonic()`` when the program began.
    """

    config: Config
    spec: EnvironmentSpec
    run: RunDirectory
    journal: Journal
    console: PlainConsole
    started_s: float

    def conduct(self, start: Checkpoint | None, note_start: Callable[[], None]) -> int:
        """Train and return the exit code.

        Args:
            start: Where to go on from; None begins anew.
            note_start: Called when everything is up and the first ticket is due.

        Raises:
            UsageError, InterruptedRunError: It ended before it had begun.
            TrainingError: The run failed; its directory says why.
        """
        with Interrupts() as interrupts, Tracking(self.config.tracking) as tracking:
            try:
                summary, exit_code = self._train(start, interrupts, tracking, note_start)
            except (UsageError, InterruptedRunError):
                raise
            except BaseException as error:
                with suppress(OSError):  # the disk is full, which is the error itself
                    write_failure(self.run, error, time.monotonic() - self.started_s)
                tracking.follow(self.run)
                self._warn(f"the run failed; RUN_DIR is {self.run.path}")
                raise
        summary = add_run_id(self.run, summary, tracking.run_id())
        print_summary(self.console, self.run, summary)
        tracking.print_link(self.console)
        return exit_code

    def _train(
        self,
        start: Checkpoint | None,
        interrupts: Interrupts,
        tracking: Tracking,
        note_start: Callable[[], None],
    ) -> tuple[dict[str, Any], int]:
        """Train to the end; if the learner's state is lost, go back to the newest checkpoint."""
        checkpoints, has_begun = Checkpoints(self.run, self.config), False
        while True:
            try:
                return self._train_from(start, checkpoints, interrupts, tracking, note_start)
            except LearnerStateLostError as error:
                newest = checkpoints.newest(self._warn)
                if has_begun and _updates(newest) <= _updates(start):
                    raise
                self._warn(f"back to the newest checkpoint: {error}")
                start, has_begun = newest, True
            except InterruptedRunError as interruption:
                if not has_begun:
                    raise
                return self._conclude_at(start, interruption), interruption.exit_code
            except UsageError as error:
                if not has_begun:
                    raise
                raise LearnerLostError(f"cannot start again: {error}") from error

    def _train_from(
        self,
        start: Checkpoint | None,
        checkpoints: Checkpoints,
        interrupts: Interrupts,
        tracking: Tracking,
        note_start: Callable[[], None],
    ) -> tuple[dict[str, Any], int]:
        requests = RequestsReader(self.run.control_file)
        driver = Driver(interrupts, lambda: requests.current.num_workers, self._warn)
        state = start.learner if start else None
        with open_backend(self.config, self.spec, driver, state) as backend:
            # From here on the run is another than before; what was refused has left it as it was.
            note_start()
            if not self.journal.cut_back(_updates(start)):
                self._warn(f"{self.run.journal_file} lacks the entry of update {_updates(start)}")
            tracking.follow(self.run)
            with (
                make_display(self.console, self.config, self.run.name) as display,
                self._exporting(display) as show,
            ):
                context = RunContext(
                    self.journal, checkpoints, show, display.warn, interrupts, requests
                )
                outcome = Training(self.config, backend, context, start).run()
            # While Ray is still up: the follower sends the rest as Ray goes down.
            summary = self._conclude(outcome)
            tracking.let_go()
        return summary, outcome.exit_code

    @contextmanager
    def _exporting(
        self, display: LiveDisplay | PlainDisplay
    ) -> Iterator[Callable[[JournalEntry], None]]:
        """Yield what shows an entry; on a cluster, it exports the entry's numbers, too."""
        if self.config.cluster.is_this_machine:
            yield display.show
            return
        from reinforce.cluster.backends.ray.metrics import MetricsExporter

        with MetricsExporter(self.run.name, display.warn) as exporter:

            def show(entry: JournalEntry) -> None:
                steps = {"progress/environment_steps": float(entry.environment_steps)}
                exporter.update({**steps, **entry.metrics})
                display.show(entry)

            yield show

    def _conclude_at(
        self, start: Checkpoint | None, interruption: InterruptedRunError
    ) -> dict[str, Any]:
        """Conclude a run that was interrupted while it was going back to a checkpoint."""
        progress = start.progress if start else Progress()
        sha256 = start.weights.sha256 if start else None
        code = interruption.exit_code
        return self._conclude(Outcome(str(interruption), code, progress, sha256, None))

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        summary = write_summary(self.run, outcome, time.monotonic() - self.started_s)
        try:
            draw_run(self.run.journal_file, self.run.plots, self.run.name)
        except OSError as error:
            self._warn(f"no picture was drawn: {error}")
        if self.config.evaluation.video and not outcome.exit_code:
            film_last_and_best(self.run, self.config.evaluation, self._warn)
        return summary

    def _warn(self, text: str) -> None:
        with suppress(OSError, UnicodeError):  # the run is worth more than what is said of it
            self.console.say(text, "yellow")


def _updates(checkpoint: Checkpoint | None) -> int:
    return checkpoint.progress.updates if checkpoint else 0


_PATIENCE_S = 15.0
"""Longer than any check takes whose environment answers at once."""


def check_environment(config: Config, console: PlainConsole) -> EnvironmentSpec:
    """Try environment and policy, print what is odd about them, and return what the run relies on.

    Raises:
        UnsuitableEnvironmentError, UnsuitablePolicyError: As ``preflight``.
        NoGPUError: The learner is to compute on a GPU of this machine, which has none.
    """
    if config.learner.device == "cuda" and config.cluster.is_this_machine:
        # Imports Torch, seconds that only who asks for a GPU has to wait.
        from reinforce.learner.device import require_device

        require_device(config.learner.device)
    with told_if_slow(console, config.environment.id):
        found = preflight(config)
    for warning in found.warnings:
        console.say(f"warning: {warning}", "yellow")
    return found.spec


@contextmanager
def told_if_slow(
    console: PlainConsole, environment_id: str, patience_s: float = _PATIENCE_S
) -> Iterator[None]:
    """Say once, if what happens in this context takes long, what it waits for and what to do."""
    text = (
        f"still trying environment.id = {environment_id!r} after {patience_s:g} s: if its "
        "constructor, reset or step hangs, Ctrl-C ends this"
    )
    timer = Timer(patience_s, console.say, (text, "yellow"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
