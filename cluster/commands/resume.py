"""``reinforce resume``: goes on from the newest good checkpoint, as if nothing had happened."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from reinforce.cluster import STARTED_S
from reinforce.cluster.callbacks import Callback, callback_named
from reinforce.cluster.commands.arguments import CallbackNames, ConfiguredCommand, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import write_json
from reinforce.cluster.run_lifecycle import RunLifecycle, check_environment
from reinforce.cluster.run_store.checkpoint import Checkpoint, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints, require_same_files, submitted_files
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.trust import CHECKPOINTS, EVERYTHING, is_known, require_trust
from reinforce.cluster.run_store.warm_start import with_stored_start
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import load_config
from reinforce.configs.roles import changes_between
from reinforce.workers.environment import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class ResumeCommand(ConfiguredCommand):
    """Go on with a run from its newest good checkpoint, as if nothing had happened.

    Only settings that do not decide what is computed can be changed.

    Attributes:
        source: The run directory.
        callback: module:function of yours, called after each update and each evaluation. May be
            given several times.
    """

    needs: ClassVar[str] = "a run directory first, such as `reinforce {verb} runs/NAME`"

    source: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR", help_behavior_hint="(required)")
    ]
    trust: Trust = False
    callback: CallbackNames = ()

    @classmethod
    def base(cls, source: str) -> Config:
        return load_config(str(RunDirectory.open(Path(source)).config_file))

    def execute(self) -> int:
        console = PlainConsole(quiet_when_unread=True)
        run = RunDirectory.open(Path(self.source))
        said = [word.partition("=")[0].removeprefix("--") for word in self.words]
        return go_on(
            *(run, self.config, console, STARTED_S, [*map(callback_named, self.callback)]),
            forget_requests=True,
            said=EVERYTHING if self.trust else said,
        )


def go_on(
    run: RunDirectory,
    config: Config,
    console: PlainConsole,
    started_s: float,
    callbacks: Sequence[Callback] = (),
    *,
    forget_requests: bool = False,
    said: Collection[str] = (),
) -> int:
    """Go on with a run under a configuration that differs in what may be changed, or not at all.

    Args:
        run: Which.
        config: How from now on.
        console: Where the display and the summary go.
        started_s: ``time.monotonic()`` when the program began.
        callbacks: Functions of the user that see each update and each evaluation.
        forget_requests: Drop the requests of the earlier process: a pause, a number of workers.
        said: Settings, of those in ``run_store.trust``, that the user vouches for.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: It cannot go on like this.
        TrainingError: The run failed again; its directory says why.
        InterruptedRunError: The user stopped it before it had begun.
    """
    stored = load_config(str(run.config_file))
    is_vouched = is_known(run, stored) or set(CHECKPOINTS) <= set(said)
    require_trust(run, stored, EVERYTHING, said=said)
    config = with_stored_start(stored, config)
    changes = changes_between(stored, config)
    summary = read_summary(run.summary_file) or {}
    if summary.get("status") == "finished" and not any(key.startswith("stop.") for key in changes):
        if submitted_files():  # else there is nothing to ask a store for
            require_same_files(run, Checkpoints(run, config).newest(lambda text: None))
        console.say(
            f"{run.path} has finished already ({summary['stop_reason']}); to train on, change what "
            "ended it, such as --stop.max_updates or --stop.target_return None"
        )
        return 0
    # Once more: the environment, its packages or the machine may be others than at the start.
    spec = check_environment(config, console)
    with Journal(run.journal_file) as journal:
        newest = _start_of(run, config, spec, console, summary)
        # Read before anything is changed, so that what is refused stays as it was.
        journal.end_of(newest.progress.updates if newest else 0)
        if forget_requests:
            run.control_file.unlink(missing_ok=True)

        def note_start() -> None:
            run.note_start("resume", newest.progress.updates if newest else 0, changes)
            run.write_config(config)
            run.summary_file.unlink(missing_ok=True)
            # The directory may be new: go on in the same MLflow run, unless its store is gone, too.
            tracking = newest.tracking if newest and is_vouched else {}
            if not (tracking.get("is_default_store", True) or run.tracking_file.exists()):
                write_json(run.tracking_file, tracking)

        for name, (old, new) in changes.items():
            console.say(f"{name}: {old} is now {new}")
        lifecycle = RunLifecycle(config, spec, run, journal, console, started_s, callbacks)
        return lifecycle.conduct(newest, note_start)


def _start_of(
    run: RunDirectory,
    config: Config,
    spec: EnvironmentSpec,
    console: PlainConsole,
    summary: dict[str, object],
) -> Checkpoint | None:
    """Return the checkpoint to go on from; None if there is none yet."""
    with waiting(console, "the newest checkpoint"):
        newest = Checkpoints(run, config).newest(lambda text: console.say(text, "yellow"))
    require_same_files(run, newest)
    if newest is None:
        _refuse_if_its_checkpoints_are_gone(run, summary)
        console.say(f"{run.path} has no checkpoint yet: it starts from the beginning")
        return None
    try:
        changes_between(Config.model_validate(newest.config), config)
    except ConfigError as error:
        raise ConfigError(f"the newest checkpoint of {run.path}: {error}") from None
    require_fit(newest, config, spec)
    return newest


def _refuse_if_its_checkpoints_are_gone(run: RunDirectory, summary: dict[str, object]) -> None:
    """A run with updates that ended in good order has saved a checkpoint, wherever it is now."""
    if summary.get("status") in ("finished", "interrupted") and summary.get("updates") != 0:
        raise RunDirectoryError(
            f"the checkpoints of the {summary.get('updates')} updates of {run.path} are gone; put "
            "them back to go on from them, or train a run of another name: starting over here "
            "would overwrite the records of this one"
        )
