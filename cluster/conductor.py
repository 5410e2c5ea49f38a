"""The conductor of a run: puts everything it needs together, and takes it apart however it ends."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cluster.backends.backend import Backend
from cluster.control import Control
from cluster.display import Display, make_display
from cluster.errors import (
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    UsageError,
)
from cluster.interrupts import Interrupts
from cluster.plots.run_pictures import draw_run
from cluster.progress import Progress
from cluster.records.checkpoint import Checkpoint
from cluster.records.checkpoints import Checkpoints
from cluster.records.journal import Journal
from cluster.records.run_directory import RunDirectory
from cluster.records.summary import add_run_id, print_summary, write_failure, write_summary
from cluster.tracking.tracking import Tracking
from cluster.trained.final_videos import film_last_and_best
from cluster.training import Outcome, Surroundings, Training
from configs.config import Config
from learner.learner_state import LearnerState
from workers.environment import EnvironmentSpec


def open_backend(
    config: Config,
    spec: EnvironmentSpec,
    interrupts: Interrupts,
    control: Control,
    state: LearnerState | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> AbstractContextManager[Backend]:
    """Return the backend that the configuration names; only that one is imported.

    Args:
        config: What to run.
        spec: The environment's spaces.
        interrupts: Looked at wherever this process waits.
        control: How many workers are wanted while it runs.
        state: Of the learner to go on from; None: a new one.
        tell: Called now and then with a sentence on what was lost and is made again.
    """
    if config.cluster.backend == "inline":
        from cluster.backends.inline_backend import inline_backend

        return inline_backend(config, spec, interrupts, state)
    if config.cluster.address is None:
        # Read when Ray is imported: every server of a local Ray then listens on loopback only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from cluster.backends.ray_backend import ray_backend

    return ray_backend(config, spec, interrupts, control, state, tell)


@dataclass(frozen=True)
class Conductor:
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
    console: Console
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
        control = Control(self.run.control_file)
        state = start.learner if start else None
        with open_backend(
            self.config, self.spec, interrupts, control, state, self._warn
        ) as backend:
            # From here on the run is another than before; what was refused has left it as it was.
            note_start()
            if not self.journal.cut_back(_updates(start)):
                self._warn(f"{self.run.journal_file} lacks the record of update {_updates(start)}")
            tracking.follow(self.run)
            with (
                make_display(self.console, self.config, self.run.name) as shown,
                self._exporting(shown) as display,
            ):
                surroundings = Surroundings(self.journal, checkpoints, display, interrupts, control)
                outcome = Training(self.config, backend, surroundings, start).run()
            # While Ray is still up: the follower sends the rest as Ray goes down.
            summary = self._conclude(outcome)
            tracking.let_go()
        return summary, outcome.exit_code

    def _exporting(self, display: Display) -> AbstractContextManager[Display]:
        """Return the display; on a cluster, one that exports what it is shown, too."""
        if self.config.cluster.address is None or self.config.cluster.backend != "ray":
            return nullcontext(display)
        from cluster.backends.ray_metrics import exporting

        return exporting(display, self.run.name)

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
            self.console.print(text, style="yellow", highlight=False, soft_wrap=True, markup=False)


def _updates(checkpoint: Checkpoint | None) -> int:
    return checkpoint.progress.updates if checkpoint else 0
