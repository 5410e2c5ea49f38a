"""The lifecycle of a run: sets everything up, and tears it down however the run ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any

from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.backends.backend import Backend, Driver
from reinforce.cluster.backends.ray.job import as_in_its_job, warn_of_its_folder
from reinforce.cluster.bookkeeping import RunContext
from reinforce.cluster.callbacks import Callback, Callbacks
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.display import Display, make_display
from reinforce.cluster.errors import (
    HeadLostError,
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    RunDirectoryError,
    TicketFailedError,
    UsageError,
    tell_failure,
)
from reinforce.cluster.export.video import film_last_and_best
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_requests import RequestsReader, RunRequests, StopWatch
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal, JournalEntry, change_entry
from reinforce.cluster.run_store.recent_returns import RecentReturns
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.run_status import WaitNotes
from reinforce.cluster.run_store.stored_environment import write_environment
from reinforce.cluster.run_store.summary import (
    Outcome,
    add_run_id,
    print_summary,
    write_failure,
    write_summary,
)
from reinforce.cluster.run_store.trust import note_own
from reinforce.cluster.tracking.follower_process import Tracking
from reinforce.cluster.tracking.other_trackers import OtherTrackers
from reinforce.cluster.training import Training
from reinforce.cluster.waiting import waiting
from reinforce.cluster.warm_start import first_state, start_of
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.quoting import command_line
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.preflight import preflight


class RunLifecycle:
    """Trains in a run directory, from a checkpoint or from the beginning.

    Args:
        config: The configuration.
        spec: The environment's description.
        run: The run directory.
        journal: The run's journal, open and locked.
        console: Receives the display and the summary.
        started_s: ``time.monotonic()`` when the program began.
        callbacks: The user's functions, called after each update and each evaluation.
    """

    def __init__(
        self,
        config: Config,
        spec: EnvironmentSpec,
        run: RunDirectory,
        journal: Journal,
        console: PlainConsole,
        started_s: float,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self._callbacks = callbacks
        self._config, self._spec, self._run = config, spec, run
        self._journal, self._console, self._started_s = journal, console, started_s
        self._checkpoints = Checkpoints(run, config)
        self._interrupts = Interrupts()
        self._tracking = Tracking(config.tracking, console, self._interrupts)
        self._others = OtherTrackers(config.tracking, console, self._interrupts)
        self._wait_notes = WaitNotes(run)
        self._publish_wait: Callable[[str], None] = lambda what: None
        self._waiting = partial(waiting, console, note=self._note_wait)

    def conduct(self, start: Checkpoint | None, note_start: Callable[[int], None]) -> int:
        """Train and return the exit code.

        Args:
            start: The checkpoint to continue from; None starts the run.
            note_start: Called with the first update when everything is ready and its first ticket
                is due, and again after a return to a checkpoint.

        Raises:
            UsageError, InterruptedRunError: The run ended before it began.
            TrainingError: The run failed; its directory says why.
        """
        for sentence in self._tracking.remarks(self._run):
            self._warn(sentence)
        self._wait_notes.write()  # none: what is there is of a process that was killed
        watch = StopWatch(self._run.control_file, self._interrupts, self._warn)
        with self._interrupts, self._others, self._tracking, watch:
            try:
                summary, exit_code = self._train(start, note_start)
            except (UsageError, InterruptedRunError):
                raise
            except BaseException as error:
                if isinstance(error, TicketFailedError | HeadLostError):
                    error.name_run(self._run.path)
                with suppress(OSError):  # the disk is full, which is the error itself
                    write_failure(self._run, error, time.monotonic() - self._started_s)
                self._tracking.follow(self._run)
                tell_failure.get()(error)  # before the trackers are waited for
                self._warn(f"the run failed; it is in {self._run.path}")
                raise
        summary = add_run_id(self._run, summary, self._tracking.run_id())
        print_summary(self._console, self._run, summary)
        self._tracking.print_link()
        return exit_code

    def _train(
        self, start: Checkpoint | None, note_start: Callable[[int], None]
    ) -> tuple[dict[str, Any], int]:
        """Train to the end; if the learner's state is lost, return to the newest checkpoint."""
        has_begun = False
        while True:
            try:
                return self._train_from(start, note_start)
            except LearnerStateLostError as error:
                newest = self._newest_after(error)
                if has_begun and _updates(newest) <= _updates(start):
                    raise
                self._warn(f"returning to the newest checkpoint: {error}")
                start, has_begun = newest, True
            except InterruptedRunError as interruption:
                if not has_begun:
                    raise
                progress = start.progress if start else Progress()
                sha256, code = start.weights.sha256 if start else None, interruption.exit_code
                return self._conclude(Outcome(str(interruption), code, progress, sha256)), code
            except UsageError as error:
                if not has_begun:
                    raise
                raise LearnerLostError(f"cannot start again: {error}") from error

    def _newest_after(self, loss: LearnerStateLostError) -> Checkpoint | None:
        try:
            return self._checkpoints.newest(self._warn)
        except UsageError as error:  # of a run that has begun
            raise LearnerLostError(f"{loss}; its checkpoints cannot be read: {error}") from error

    def _train_from(
        self, start: Checkpoint | None, note_start: Callable[[int], None]
    ) -> tuple[dict[str, Any], int]:
        requests = RequestsReader(self._run.control_file)
        driver = Driver(
            self._interrupts,
            lambda: requests.current.num_workers,
            *(self._warn, self._say),
            waiting=self._waiting,
        )
        state = start.learner if start else first_state(self._config, self._spec)
        with self._opened_backend(driver, state) as backend:
            # From here on the run is another than before; what was refused has left it as it was.
            note_start(_updates(start))
            note_own(self._run, self._config, self._warn)
            write_environment(self._run.environment_file, self._spec)
            if not self._journal.cut_back(_updates(start)):
                self._warn(f"{self._run.journal_file} lacks the entry of update {_updates(start)}")
            for change in self._config.run.changes:  # cut off just now, or not yet written
                if start and change.update == _updates(start):
                    self._journal.append(change_entry(start.progress, change))
            self._tracking.follow(self._run)
            self._others.follow(self._run)
            with (
                make_display(self._console, self._config, self._run.name) as display,
                self._exporting(display) as show,
            ):
                context = RunContext(
                    *(self._journal, self._checkpoints, show, display.warn),
                    *(self._interrupts, requests, Callbacks(self._callbacks)),
                )
                outcome = Training(self._config, backend, context, start).run()
            summary = self._conclude(outcome)
            is_filmed = self._config.evaluation.video and not outcome.exit_code
            if not is_filmed:  # while Ray is still up: followers send the rest as it goes down
                self._let_trackers_go()
        if is_filmed:  # not before: the simulators of the workers may hold what a film needs
            self._unless_interrupted(self._film, "film was not made", "record")
            self._let_trackers_go()
        return summary, outcome.exit_code

    def _opened_backend(
        self, driver: Driver, state: LearnerState | None
    ) -> AbstractContextManager[Backend]:
        """Return the backend; on a cluster, publish what the run waits for."""
        opened = open_backend(self._config, self._spec, driver, state)
        if not as_in_its_job(self._config).cluster.is_this_machine:
            from reinforce.cluster.backends.ray.published_numbers import publish_wait

            self._publish_wait = partial(publish_wait, self._run.name, self._run.path)
        return opened

    @contextmanager
    def _exporting(self, display: Display) -> Iterator[Callable[[JournalEntry], None]]:
        """Yield a function that shows an entry and, on a cluster, exports its numbers."""
        if as_in_its_job(self._config).cluster.is_this_machine:
            yield display.show
            return
        from reinforce.cluster.backends.ray.metrics import MetricsExporter

        self._publish_wait = lambda what: None  # from here on with the numbers
        told = (self._run.name, self._run.path, display.warn, lambda: self._waits_for)
        recent = RecentReturns()
        with MetricsExporter(*told) as exporter:

            def show(entry: JournalEntry) -> None:
                recent.note(entry)
                exporter.update(entry.metrics, recent.mean)
                display.show(entry)

            yield show

    def _note_wait(self, wait: object, what: str) -> None:
        self._wait_notes.note(wait, what)
        self._publish_wait(self._wait_notes.first)

    @property
    def _waits_for(self) -> str:
        is_paused = RunRequests.read(self._run.control_file).paused
        return self._wait_notes.first or "`reinforce unpause`" * is_paused

    def _let_trackers_go(self) -> None:
        self._tracking.let_go()
        self._others.let_go()

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        wall_time_s = time.monotonic() - self._started_s
        changes, start = self._config.run.changes, start_of(self._config)
        summary = write_summary(self._run, outcome, wall_time_s, changes, start)
        if self._config.run.pictures:
            self._unless_interrupted(self._draw, "pictures were not drawn", "plot")
        return summary

    def _draw(self) -> None:
        try:
            plots = self._run.require_inside(self._run.plots)
            with self._waiting("drawing the pictures"):
                draw_run(self._run.journal_file, plots, self._run.name)
        except (OSError, RunDirectoryError) as error:
            self._warn(f"no picture was drawn: {error}")

    def _film(self) -> None:
        with self._waiting("recording the film"):
            film_last_and_best(self._run, self._config.evaluation, self._warn)

    def _unless_interrupted(self, make: Callable[[], None], missing: str, verb: str) -> None:
        """Make a finished run's pictures or film, unless a signal comes."""
        try:
            self._interrupts.call(make, obey_at_once=True)
        except InterruptedRunError as interruption:
            self._warn(
                f"the last {missing} ({interruption}); `{command_line(verb, self._run.path)}` "
                "does it"
            )

    def _warn(self, text: str) -> None:
        with suppress(OSError, UnicodeError):  # the run is worth more than what is said of it
            self._console.warn(text)

    def _say(self, text: str) -> None:
        with suppress(OSError, UnicodeError):
            self._console.say(text)


def _updates(checkpoint: Checkpoint | None) -> int:
    return checkpoint.progress.updates if checkpoint else 0


def new_run_directory(config: Config) -> RunDirectory:
    """Create the directory of a new run; if refused, nothing is left behind.

    Raises:
        ConfigError: The configuration is that of a run that was changed while it trained.
        RunDirectoryError: A run of this name, or its checkpoints, already exist.
    """
    if config.run.changes:
        raise ConfigError(
            "run.changes shows that this is the configuration of a run that was changed while it "
            "trained, "
            + "; ".join(map(str, config.run.changes))
            + ": a new run has all settings from the start; leave run.changes out"
        )
    run = RunDirectory.create(config)
    try:
        checkpoints = Checkpoints(run, config)
        if checkpoints.versions():
            raise RunDirectoryError(
                f"{checkpoints.location} holds checkpoints of another run of this name; choose "
                "another run.name, or continue from them: `reinforce train ... --resume auto`"
            )
    except UsageError:
        run.discard()
        raise
    return run


def open_backend(
    config: Config, spec: EnvironmentSpec, driver: Driver, state: LearnerState | None = None
) -> AbstractContextManager[Backend]:
    """Return the configured backend, with a learner from a state or a new one."""
    if config.cluster.backend == "inline":
        from reinforce.cluster.backends.inline import inline_backend

        return inline_backend(config, spec, driver, state)
    config, configured = as_in_its_job(config), config
    if config.cluster.address is not None and configured.cluster.address is None:
        driver.tell(
            "this is a Ray job: it trains on the job's own cluster, which RAY_ADDRESS names "
            "(--cluster.backend inline: in this process)"
        )
    with driver.waiting("loading Ray"):
        from reinforce.cluster.backends.ray.backend import ray_backend
    return ray_backend(config, spec, driver, state)


def check_environment(
    config: Config, console: PlainConsole, remarks: Sequence[str] = ()
) -> EnvironmentSpec:
    """Try environment and policy, print warnings, and return the findings.

    Args:
        config: The configuration.
        console: Shows warnings.
        remarks: Sentences about the settings, which hold only if the environment is suitable.

    Raises:
        UnsuitableEnvironmentError, UnsuitablePolicyError: As ``preflight``.
        ClusterUnreachableError: This is a Ray job, but nothing names its cluster.
        NoGPUError: The learner needs a GPU on this machine, which has none.
    """
    if config.learner.device == "cuda" and as_in_its_job(config).cluster.is_this_machine:
        # Imports Torch, seconds that only who asks for a GPU has to wait.
        from reinforce.learner.device import require_device

        require_device(config.learner.device)
    stage = f"checking environment.id = {config.environment.id!r}"
    advice = "if its constructor, reset or step hangs, Ctrl-C ends this"
    with waiting(console, stage, lambda: advice, at_once=True):
        found = preflight(config)
    for warning in filter(None, (*found.warnings, warn_of_its_folder(config))):
        console.warn(f"warning: {warning}")
    for remark in remarks:
        console.warn(remark)
    return found.spec
