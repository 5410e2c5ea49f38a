"""A new run: from a configuration to the exit code, in a directory of its own."""

from collections.abc import Sequence

from reinforce.cluster.callbacks import Callback
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import InterruptedRunError, StorageError, UsageError
from reinforce.cluster.export.video import check_filming
from reinforce.cluster.resumed_run import Consent, go_on
from reinforce.cluster.run_lifecycle import RunLifecycle, check_environment, new_run_directory
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.code_digests import code_digests
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.trust import CHECKPOINTS, CLUSTER, CODE, START, WANDB
from reinforce.cluster.warm_start import with_start_noted
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.experiment import StopConfig
from reinforce.configs.given_objects import needed_later
from reinforce.configs.plurals import counted


def run_training(
    config: Config,
    console: PlainConsole,
    started_s: float,
    callbacks: Sequence[Callback] = (),
    remarks: Sequence[str] = (),
) -> int:
    """Train as configured, in a new run directory, and return the exit code.

    Args:
        config: The configuration.
        console: Receives the display and the summary.
        started_s: ``time.monotonic()`` when the program began.
        callbacks: The user's functions, called after each update and each evaluation.
        remarks: Sentences about the settings, shown once the environment has been checked.

    Raises:
        TrainingError: The run failed; its directory says why.
        InterruptedRunError, UnsuitableEnvironmentError, UsageError: The run never began, and
            nothing is left behind.
    """
    if config.run.name:
        RunDirectory(config.run.directory / config.run.name).require_free()
    spec = check_environment(config, console, remarks)
    config = with_start_noted(config, spec)
    if config.evaluation.video:
        check_filming(config.evaluation_environment)
    run = new_run_directory(config)
    limits = _limits_in_words(config.stop)
    console.say(f"training on {config.environment.id}, seed {config.run.seed}, {limits}", "dim")
    if needed := needed_later([config.environment.id, config.policy.kind]):
        console.warn(needed)
    try:
        with Journal(run.journal_file) as journal:
            lifecycle = RunLifecycle(config, spec, run, journal, console, started_s, callbacks)
            code = code_digests(config)
            return lifecycle.conduct(
                None, lambda from_update: run.note_start("train", from_update, {}, code=code)
            )
    except (UsageError, InterruptedRunError, StorageError):
        if not run.has_begun:
            run.discard()
        raise


def _limits_in_words(stop: StopConfig) -> str:
    """Return what ends the run: a preset may have limits that nobody has typed."""
    goal = stop.target_metric or "return"
    limits = [counted(stop.max_updates, "update")]
    if stop.max_environment_steps:
        limits.append(counted(stop.max_environment_steps, "step"))
    if stop.max_wall_time_s:
        limits.append(f"{stop.max_wall_time_s:g} s")
    if stop.patience_evaluations:
        limits.append(f"{counted(stop.patience_evaluations, 'evaluation')} without a better one")
    if stop.target_return is not None:
        limits.append(f"a mean {goal} of {stop.target_return:g}")
    return f"until {' or '.join(limits)}"


def train_or_resume(
    config: Config,
    console: PlainConsole,
    started_s: float,
    callbacks: Sequence[Callback] = (),
    remarks: Sequence[str] = (),
) -> int:
    """Continue the run of this name if there is one, or else start it, for supervisors."""
    if config.run.name is None:
        raise ConfigError("--resume auto finds a run by its name; give it one with --run.name")
    run = RunDirectory(config.run.directory / config.run.name)
    run.require_regular_files()
    is_new = not run.config_file.is_file()
    if is_new:
        run.clear_what_was_never_whole()
        checkpoints = Checkpoints(run, config)
        if not checkpoints.versions():
            console.say(
                f"no run {run.path} and no checkpoint in {checkpoints.location}: a new run", "dim"
            )
            return run_training(config, console, started_s, callbacks, remarks)
        # The machine is new, and the run's directory went with the old one.
        RunDirectory.create(config)
    # All but the place of tracking.json stands in the user's own configuration.
    said = (*CODE, *CHECKPOINTS, *CLUSTER, *START, *WANDB, "tracking.uri")
    try:
        return go_on(*(run, config, console, started_s, callbacks, remarks), consent=Consent(said))
    except ConfigError:
        if is_new and not run.has_begun:  # its config.yaml says what was refused
            run.discard()
        raise
