"""``reinforce sweep``: many runs of one configuration with other settings, each a normal run."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import InterruptedRunError, UsageError
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.number_format import number
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import place_in_words, read_tracking_state
from reinforce.cluster.sweeps.claim import claim
from reinforce.cluster.sweeps.display import SweepDisplay
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.cross_checks import require_used
from reinforce.configs.loading import with_overrides
from reinforce.configs.other_environment import without_others_target
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line
from reinforce.configs.sweep import SCORE, SweepConfig, load_sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from reinforce.cluster.sweeps.ledger import SweepLedger
    from reinforce.cluster.sweeps.sweep import Sweep
    from reinforce.cluster.sweeps.tracking import SweepTracking


@dataclass(frozen=True, kw_only=True)
class SweepCommand(Command):
    """Search settings with Optuna's samplers and pruners, over several seeds.

    The file names a base and the settings to try; page Tools of the docs shows one. Every trial is
    a normal run in its own process; if the sweep is killed, its runs stop after a checkpoint. The
    same command continues an interrupted sweep. A failed trial is reported and does not end the
    sweep; if no trial finishes, the exit code is 1.

    Attributes:
        file: YAML file of the sweep.
        directory: Folder of the sweep. None: sweeps/ and the name of the file.
        parallel: Runs at a time, >= 1. Each uses what its configuration says.
        retry_failed: Run failed trials again.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.yaml")]
    directory: Path | None = None
    parallel: int = 1
    retry_failed: Flag = False

    def execute(self) -> int:
        """Run the sweep, or what is left of it, and print the trials, best first.

        Raises:
            UsageError, ConfigError: It cannot be run as it is written.
            SystemExit: 130 or 143 after a signal.
        """
        console = PlainConsole()
        sweep, base = load_sweep(self.file)
        folder = (self.directory or Path("sweeps") / self.file.stem).absolute()
        check(sweep, base, self.parallel)
        _tell_dropped_targets(console, sweep, base)
        _refuse_older(folder)
        num_trials, num_seeds = sweep.num_trials, len(sweep.seeds)
        console.say(
            f"{counted(num_trials, 'trial')} with {counted(num_seeds, 'seed')} each, "
            f"{self.parallel} at a time, in {folder}"
        )
        with waiting(console, "loading Optuna"):
            # Imported late: it is an extra.
            from reinforce.cluster.sweeps.ledger import SweepLedger, sweep_lock
            from reinforce.cluster.sweeps.sweep import Sweep

        with sweep_lock(folder):
            claim(folder, sweep, base)
            ledger = SweepLedger(folder, sweep, retry_failed=self.retry_failed)
            num_over = sum(trial.state.is_finished() for trial in ledger.trials.values())
            if num_over:
                console.say(f"already over: {num_over} of {num_trials}")
            tracking = _tracking_of(folder, sweep, base, ledger, console)
            begun = {each for each, trial in ledger.trials.items() if not trial.state.is_finished()}

            def say(trial: "FrozenTrial") -> None:
                console.say(_line(trial, sweep, base.stop.target_metric, begun))

            trials = Sweep(sweep, base, folder, ledger, self.parallel, say, console.say)
            _run(trials, tracking, console)
        _print_trials(console, ledger, sweep, base.stop.target_metric)
        return _say_way_on(console, folder, ledger)


def _tracking_of(
    folder: Path, sweep: SweepConfig, base: Config, ledger: "SweepLedger", console: PlainConsole
) -> "SweepTracking | None":
    """Return what shows the sweep in MLflow; None if its runs are not sent there."""
    if not base.tracking.enabled:
        return None
    with waiting(console, "loading MLflow"):
        from reinforce.cluster.sweeps.tracking import SweepTracking
    return SweepTracking(folder, sweep, base, ledger, console.say)


def _say_way_on(console: PlainConsole, folder: Path, ledger: "SweepLedger") -> int:
    """Say where to look at the trials, and return the exit code."""
    if not any(trial.state.name == "COMPLETE" for trial in ledger.trials.values()):
        console.say(f"no trial finished; {folder}/logs says why", "red")
        return 1
    console.say(f"`{command_line('compare', folder)}/runs/*` compares them")
    state = read_tracking_state(RunDirectory(folder).tracking_file)
    for line in place_in_words(state) if "link" in state else ():
        console.say(line)
    return 0


def _run(trials: "Sweep", tracking: "SweepTracking | None", console: PlainConsole) -> None:
    """Run what is left of the trials.

    Raises:
        SystemExit: 130 or 143 after a signal.
    """
    status = "KILLED"
    try:
        with Interrupts() as interrupts, SweepDisplay(console) as display:

            def keep_up() -> None:
                if tracking:
                    tracking.keep_up()
                display.show(trials.running)

            trials.run(interrupts, keep_up)
        status = "FINISHED"
    except InterruptedRunError as interruption:
        console.warn("interrupted; run the same command again to continue")
        raise SystemExit(interruption.exit_code) from None
    finally:
        if tracking:
            tracking.finish(status)


def check(sweep: SweepConfig, base: Config, parallel: int) -> None:
    """Find out now what cannot be: of a grid, every combination is known.

    Raises:
        UsageError: It cannot run here, or not so many at a time.
        ConfigError: A combination does not go together.
    """
    if parallel < 1:
        raise UsageError(f"--parallel {parallel} must be >= 1")
    # Runs on a cluster share it; a local Ray thinks that the machine is its own.
    has_local_ray = base.cluster.backend == "ray" and base.cluster.is_this_machine
    takes_all = has_local_ray and base.workers.num_workers == "auto"
    if parallel > 1 and takes_all and "workers.num_workers" not in sweep.settings:
        raise UsageError(
            f"--parallel {parallel}: each run would take all CPUs for itself; in the base of the "
            "sweep, set workers.num_workers, cluster.backend: inline, or the cluster.address of a "
            "cluster, which runs share"
        )
    if not {"policy.kind", "learner.baseline"} & set(sweep.settings):
        require_used(base.policy, base.learner, sweep.settings)
    for package in ("optuna", *(["cmaes"] if sweep.method == "cmaes" else [])):
        if find_spec(package) is None:
            raise UsageError(
                f"a sweep needs the package {package}, of the extra `sweep`: "
                "pip install 'distributed-reinforce[sweep]'"
            )
    if sweep.method == "grid":
        for settings in sweep.grid():
            sweep.config(base, settings)


def _tell_dropped_targets(console: PlainConsole, sweep: SweepConfig, base: Config) -> None:
    for environment_id in sweep.settings.get("environment.id", ()):
        chosen = with_overrides(base, {"environment.id": environment_id})
        if remark := without_others_target(base, chosen, sweep.settings)[1]:
            console.warn(remark)


def _refuse_older(folder: Path) -> None:
    if (folder / "settings.jsonl").exists():
        raise UsageError(
            f"{folder} holds a sweep of version 0.1, which kept other records; its runs are whole "
            f"(`{command_line('compare', folder)}/runs/*`), and a new --directory begins this one"
        )


def _line(
    trial: "FrozenTrial", sweep: SweepConfig, goal: str | None, begun: Collection[int]
) -> str:
    """Return what there is to say about a trial; ``begun`` are those that an earlier call began."""
    from reinforce.cluster.sweeps.ledger import error_of, is_result, number_of, trial_name

    measured = ", ".join(
        f"{_title(metric, goal)} {shown}" for metric, shown in _measured(trial, sweep).items()
    )
    steps, index = trial.last_step or 0, number_of(trial)
    start = "continues" if index in begun else "begins"
    outcome = {
        "RUNNING": f"continues after {counted(steps, 'step')}, {_at_rung(trial, sweep, goal)}"
        if steps
        else start,
        "COMPLETE": measured if is_result(trial) else f"{measured}, violates a constraint",
        "PRUNED": f"pruned after {counted(steps, 'step')}, {measured}",
        "FAIL": f"failed: {error_of(trial)}",
    }[trial.state.name]
    place = f"{trial_name(index)} ({index + 1} of {sweep.num_trials})"
    return f"{place}: {_words(trial)}: {outcome}"


def _at_rung(trial: "FrozenTrial", sweep: SweepConfig, goal: str | None) -> str:
    value = trial.intermediate_values[trial.last_step or 0]
    return f"{_title(sweep.metrics[0], goal)} {number(value)}"


def _title(metric: str, goal: str | None) -> str:
    return f"mean {goal or 'return'}" if metric == SCORE else metric


def _measured(trial: "FrozenTrial", sweep: SweepConfig) -> dict[str, str]:
    """Return what is known of a trial, by metric."""
    excess = trial.constraints.items()
    values = {metric: value + sweep.constraints[metric] for metric, value in excess}
    for objective, value in zip(sweep.objectives, trial.values or (), strict=False):
        values[objective.metric] = value
    known = ((metric, values[metric]) for metric in sweep.metrics if metric in values)
    return {name: number(value) for name, value in known}


def _words(trial: "FrozenTrial") -> str:
    from reinforce.cluster.sweeps.ledger import settings_of

    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings_of(trial).items()
    )


def _print_trials(
    console: PlainConsole, ledger: "SweepLedger", sweep: SweepConfig, goal: str | None
) -> None:
    """Print a table: the best trials, other results, what broke constraints, the rest."""
    from reinforce.cluster.sweeps.ledger import is_result, trial_name

    front = ledger.front()
    sign = -1 if sweep.objectives[0].direction == "maximize" else 1
    states = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}

    def rank(number: int) -> tuple[bool, bool, str, float]:
        trial = ledger.trials[number]
        value = sign * trial.values[0] if trial.values else 0.0
        return number not in front, not is_result(trial), trial.state.name, value

    table = Table(box=None, pad_edge=False)
    table.add_column("settings", overflow="fold")
    for title in ("trial", "state", *(_title(metric, goal) for metric in sweep.metrics)):
        table.add_column(title, justify="right")
    for index in sorted(ledger.trials, key=rank):
        trial = ledger.trials[index]
        measured = _measured(trial, sweep)
        cells = (measured.get(metric, "-") for metric in sweep.metrics)
        words, state = console.cell(_words(trial)), states[trial.state.name]
        table.add_row(words, trial_name(index), state, *cells)
    console.print_table(table)
    if len(sweep.objectives) > 1:
        names = ", ".join(map(trial_name, sorted(front))) or "no trial"
        console.say(f"Pareto front: {names}")
