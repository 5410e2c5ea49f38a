"""A resumed run: continues from the newest intact checkpoint, as if nothing had happened."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from reinforce.cluster.callbacks import Callback
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import RunDirectoryError, UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_lifecycle import RunLifecycle, check_environment
from reinforce.cluster.run_store.changed_run import (
    changed,
    consequences,
    missed_changes,
    require_same_spaces,
)
from reinforce.cluster.run_store.checkpoint import Checkpoint, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints, require_same_files
from reinforce.cluster.run_store.code_digests import code_digests, edited_since_last_start
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.submitted_files import submitted_files
from reinforce.cluster.run_store.summary import has_reached_a_limit, read_summary
from reinforce.cluster.run_store.trust import CHECKPOINTS, EVERYTHING, is_known, require_trust
from reinforce.cluster.tracking.store_of_run import state_at
from reinforce.cluster.waiting import waiting
from reinforce.cluster.warm_start import with_stored_start
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import load_config, with_overrides
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line
from reinforce.configs.roles import changes_between
from reinforce.configs.secret_names import without_secrets
from reinforce.learner.policies.seeds import SEED_SCHEME
from reinforce.workers.environment import EnvironmentSpec


@dataclass(frozen=True)
class Consent:
    """The user's consent, besides the settings.

    Attributes:
        said: Settings that come from the user, who thereby trusts them.
        change: Settings that decide the result may change from here on.
        trust: The user trusts everything that the run directory names.
    """

    said: Collection[str] = ()
    change: bool = False
    trust: bool = False

    @property
    def vouched(self) -> Collection[str]:
        """Settings, among those in ``run_store.trust``, that the user trusts."""
        return EVERYTHING if self.trust else self.said


def go_on(  # noqa: PLR0913  (all that a resumption depends on)
    run: RunDirectory,
    config: Config,
    console: PlainConsole,
    started_s: float,
    callbacks: Sequence[Callback] = (),
    remarks: Sequence[str] = (),
    *,
    forget_requests: bool = False,
    consent: Consent = Consent(),
) -> int:
    """Continue a run, possibly with changes to settings that may be changed.

    Args:
        run: Which.
        config: The configuration from now on.
        console: Receives the display and the summary.
        started_s: ``time.monotonic()`` when the program began.
        callbacks: The user's functions, called after each update and each evaluation.
        remarks: Sentences about the settings, shown once the environment has been checked.
        forget_requests: Drop the requests of the earlier process: a pause, a number of workers.
        consent: The user's consent.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: The run cannot continue with these
            settings.
        TrainingError: The run failed again; its directory says why.
        InterruptedRunError: The user stopped it before it began.
    """
    stored = load_config(str(run.config_file))
    knows = is_known(run, stored)
    is_vouched = knows or set(CHECKPOINTS) <= set(consent.vouched)
    require_trust(run, stored, EVERYTHING, said=consent.vouched)
    config = _with_notes_of(stored, config)
    changes = changes_between(stored, config, on_purpose=consent.change)
    summary = read_summary(run.summary_file) or {}
    limit = _limit_reached(summary, config)
    if has_reached_a_limit(summary) and (
        limit or not any(key.startswith("stop.") for key in changes)
    ):
        if consent.change and changes:
            ending, remedy = _ending(config, limit or summary["stop_reason"])
            raise UsageError(
                f"{run.path} has finished already ({ending}), so {', '.join(changes)} would have "
                f"no effect; also {remedy}"
            )
        for remark in remarks:
            console.warn(remark)
        _say_that_it_has_finished(run, config, console, summary, limit)
        return 0
    # Once more: the environment, its packages or the machine may be others than at the start.
    spec = check_environment(config, console, remarks)
    with Journal(run.journal_file) as journal:
        is_own = knows or consent.trust
        start = _start_of(run, config, console, summary, consent, is_own=is_own)
        start.require_fit(run, spec)
        # Read before anything is changed, so that what is refused stays as it was.
        journal.end_of(start.updates)
        changes |= start.missed
        code = code_digests(start.config)
        note_start = start.writer(run, changes, code, is_vouched=is_vouched)
        console.say(f"continuing {run.path}", "dim")
        if forget_requests:
            run.control_file.unlink(missing_ok=True)
        _tell_what_changes(console, start, changes, edited_since_last_start(run, code))
        lifecycle = RunLifecycle(start.config, spec, run, journal, console, started_s, callbacks)
        return lifecycle.conduct(start.checkpoint, note_start)


def _tell_what_changes(
    console: PlainConsole,
    start: "_Start",
    changes: Mapping[str, tuple[Any, Any]],
    edited: Sequence[str],
) -> None:
    for name, (old, new) in without_secrets(changes).items():
        console.say(f"{name}: {old} is now {new}")
    for sentence in consequences(start.config.run.changes[-1]) if start.is_changed else ():
        console.warn(sentence)
    for module in edited:
        console.warn(
            f"module {module!r} has been edited since this run last started: from update "
            f"{start.updates} on it does what its file says now; to compare results, begin a new "
            "run"
        )


def _with_notes_of(stored: Config, config: Config) -> Config:
    """Return a configuration with values recorded by the run, which the command does not repeat."""
    config = with_stored_start(stored, config)
    notes = config.run.changes or stored.run.changes
    return with_overrides(config, {"run.changes": notes})


def _limit_reached(summary: Mapping[str, Any], config: Config) -> str | None:
    """Return the configured limit that a run has reached by its summary, or None."""
    counters = ("updates", "environment_steps", "training_time_s")
    progress = Progress(**{name: summary[name] for name in counters if name in summary})
    return progress.reached_limit(config.stop, None)


def _say_that_it_has_finished(
    run: RunDirectory,
    config: Config,
    console: PlainConsole,
    summary: dict[str, Any],
    limit: str | None,
) -> None:
    if submitted_files():  # else there is nothing to ask a store for
        require_same_files(run, Checkpoints(run, config).newest(lambda text: None))
    ending, remedy = _ending(config, limit or summary["stop_reason"])
    console.warn(f"{run.path} has finished already ({ending}); to train on, {remedy}")


def _ending(config: Config, reason: str) -> tuple[str, str]:
    """Return what ended a run, and what to change to train on."""
    value = config.stop.model_dump().get(reason)
    if value is None:  # a callback
        return reason, "change a limit such as stop.max_updates"
    no_target = ", or set it to None" if reason == "target_return" else ""
    return f"stop.{reason} = {value}", f"raise stop.{reason}{no_target}"


@dataclass(frozen=True)
class _Start:
    """The point from which a run continues, and how.

    Attributes:
        checkpoint: The checkpoint; None to start from the beginning.
        config: The configuration with all deliberate changes, including new ones.
        is_changed: Whether there are new ones.
        missed: (old, new) of earlier changes that are taken from the checkpoint.
    """

    checkpoint: Checkpoint | None
    config: Config
    is_changed: bool = False
    missed: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        return self.checkpoint.progress.updates if self.checkpoint else 0

    def require_fit(self, run: RunDirectory, spec: EnvironmentSpec) -> None:
        """Raise UsageError if the checkpoint does not fit this environment and policy."""
        if self.is_changed:
            require_same_spaces(run, self.config, spec)
        if self.checkpoint:
            require_fit(self.checkpoint, self.config, spec)

    def writer(
        self,
        run: RunDirectory,
        changes: dict[str, tuple[Any, Any]],
        code: dict[str, str],
        *,
        is_vouched: bool,
    ) -> Callable[[int], None]:
        """Return a function that records a continuation from an update; calling it is final.

        Raises:
            UsageError: MLflow's address is another, and the run cannot be at that.
        """
        is_moved = "tracking.uri" in changes and self.config.tracking.enabled
        moved = state_at(run, self.config.tracking) if is_moved else None

        @cache  # the learner may be lost and made again, when the run is further on already
        def save_change() -> None:
            if moved:
                write_json(run.tracking_file, moved)
            if not self.checkpoint:
                return
            checkpoints = Checkpoints(run, self.config)
            if self.is_changed:
                checkpoints.save(self.checkpoint)
            # Not before: the best one belongs to the checkpoint that is replaced. And also if no
            # change is made now, since a kill between the two leaves it behind.
            if self.checkpoint.progress.best_return is None:
                checkpoints.forget_best()

        def write(from_update: int) -> None:
            save_change()
            told = changes if from_update == self.updates else {}  # not again after a lost learner
            run.note_start("resume", from_update, told, code=code)
            run.write_config(self.config)
            run.summary_file.unlink(missing_ok=True)
            # The directory may be new: go on in the same MLflow run, unless its store is gone, too.
            tracking = self.checkpoint.tracking if self.checkpoint and is_vouched else {}
            if not (tracking.get("is_default_store", True) or run.tracking_file.exists()):
                write_json(run.tracking_file, tracking)

        return write


def _start_of(
    run: RunDirectory,
    config: Config,
    console: PlainConsole,
    summary: dict[str, Any],
    consent: Consent,
    *,
    is_own: bool,
) -> _Start:
    with waiting(console, "reading the newest checkpoint"):
        newest = Checkpoints(run, config).newest(console.warn)
    require_same_files(run, newest)
    if newest is None:
        _refuse_if_its_checkpoints_are_gone(run, summary)
        console.say(f"{run.path} has no checkpoint yet: it starts from the beginning")
        # What was changed is so from the first update on.
        return _Start(None, with_overrides(config, {"run.changes": ()}))
    before = Config.model_validate(newest.config)
    # config.yaml may be new, and hold no more than the command says.
    config = with_stored_start(before, config)
    said = consent.said if consent.change else ()
    missed = missed_changes(before, config, said=said)
    with_missed = with_overrides(config, {name: new for name, (_, new) in missed.items()})
    if missed and not is_own:  # config.yaml, which was looked at before, does not name them
        way_out = f"`{command_line('resume', run.path, '--trust')}` continues it"
        said_otherwise = set(consent.said) - set(missed)
        require_trust(run, with_missed, EVERYTHING, said=said_otherwise, way_out=way_out)
    if missed:
        console.warn(
            f"{run.config_file} lacks earlier changes made on purpose; the newest checkpoint has "
            "them, and the run continues with these",
        )
    try:
        checkpoint, config = changed(newest, before, with_missed, on_purpose=consent.change)
    except ConfigError as error:
        raise ConfigError(f"the newest checkpoint of {run.path}: {error}") from None
    if newest.seed_scheme != SEED_SCHEME:
        console.warn(
            f"{run.path} was begun with another version of this program, which seeds episodes "
            f"differently: from update {newest.progress.updates} on they have this version's "
            "seeds, so its weights will be those of neither version",
        )
    return _Start(checkpoint, config, is_changed=checkpoint is not newest, missed=missed)


def _refuse_if_its_checkpoints_are_gone(run: RunDirectory, summary: dict[str, Any]) -> None:
    """Refuse to start over a run whose summary counts updates, since it had a checkpoint."""
    if summary.get("status") in ("finished", "interrupted") and summary.get("updates") != 0:
        raise RunDirectoryError(
            f"the checkpoints of the {counted(summary.get('updates') or 0, 'update')} of "
            f"{run.path} are gone; put "
            "them back to continue from them, or train a run with another name: starting over "
            "here would overwrite this run's records"
        )
