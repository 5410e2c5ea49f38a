"""``reinforce sweep``: many runs of one configuration with other settings, each a normal run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
import yaml
from rich.table import Table

from reinforce.cluster.commands.arguments import Command, Flag
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import InterruptedRunError, UsageError
from reinforce.cluster.files import write_atomically
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.sweeps.ledger import SweepLedger, TrialRun, sweep_lock
from reinforce.cluster.sweeps.samplers import make_sampler
from reinforce.cluster.sweeps.sweep import Sweep
from reinforce.configs.config import Config
from reinforce.configs.loading import to_yaml
from reinforce.configs.quoting import command_line
from reinforce.configs.regular_files import read_regular_file
from reinforce.configs.sweep import SweepConfig, load_sweep

if TYPE_CHECKING:
    from reinforce.cluster.sweeps.tracking import SweepTracking


_MAX_BYTES = 2**23
"""Size of the file that says what is swept; a sweep and its base are never larger."""


@dataclass(frozen=True, kw_only=True)
class SweepCommand(Command):
    """Try settings: a grid, random draws, or draws by Optuna, each with several seeds.

    The file names a base and what varies; docs/tools.md shows one. Every trial is a normal run in a
    process of its own; if the sweep is killed, its runs stop after a checkpoint. Called again after
    an interruption, a sweep goes on; a run that came to its end is not run again, and a run that
    fails is noted and does not end the sweep. If all fail, it ends with 1.

    Attributes:
        file: YAML file of the sweep.
        directory: Folder of the sweep. None: sweeps/ and the name of the file.
        parallel: Runs at a time, >= 1. Each takes what its configuration says.
        retry_failed: Run those again that failed.
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
        _check(sweep, base, self.parallel)
        _claim(folder, sweep, base)
        with sweep_lock(folder):
            ledger = SweepLedger(folder, forget_failed=self.retry_failed)
            # Imported late: MLflow takes seconds.
            from reinforce.cluster.sweeps.tracking import SweepTracking

            tracking = SweepTracking(folder, base, ledger, console.say)

            def say(done: TrialRun) -> None:
                console.say(_line(done, sweep.num_trials, base.stop.target_metric))

            trials = Sweep(sweep, base, folder, ledger, self.parallel, say, console.say)
            _run(trials, tracking, console)
        _print_trials(console, ledger, sweep.num_trials, base.stop.target_metric)
        if all(ledger.score(trial) is None for trial in range(sweep.num_trials)):
            console.say(f"no run finished; {folder}/logs says why", "red")
            return 1
        console.say(f"`{command_line('compare', folder)}/runs/*` compares them")
        return 0


def _run(trials: Sweep, tracking: "SweepTracking", console: PlainConsole) -> None:
    """Run what is left of the trials.

    Raises:
        SystemExit: 130 or 143 after a signal.
    """
    status = "KILLED"
    try:
        with Interrupts() as interrupts:
            trials.run(interrupts, tracking.keep_up)
        status = "FINISHED"
    except InterruptedRunError as interruption:
        console.say("stopped; the same command goes on from here", "yellow")
        raise SystemExit(interruption.exit_code) from None
    finally:
        tracking.finish(status, trials.best_score)


def _check(sweep: SweepConfig, base: Config, parallel: int) -> None:
    """Find out now what cannot be: of a grid, every combination is known."""
    if parallel < 1:
        raise UsageError(f"--parallel {parallel} must be >= 1")
    takes_all = base.cluster.backend == "ray" and base.workers.num_workers == "auto"
    if parallel > 1 and takes_all and "workers.num_workers" not in sweep.settings:
        raise UsageError(
            f"--parallel {parallel}: each run would take all CPUs for itself; set "
            "workers.num_workers in the base of the sweep, or cluster.backend: inline"
        )
    sampler = make_sampler(sweep)
    if sweep.method == "grid":
        for trial in range(sweep.num_trials):
            sweep.config(base, sampler(trial, []))


def _claim(folder: Path, sweep: SweepConfig, base: Config) -> None:
    """Note in the folder what is swept; refuse one in which something else was."""
    about = {"sweep": sweep.model_dump(mode="json", exclude={"trials"}), "base": to_yaml(base)}
    text = yaml.safe_dump(about, sort_keys=False)
    file = folder / "sweep.yaml"
    try:
        if file.exists() and read_regular_file(file, _MAX_BYTES) != text.encode():
            raise UsageError(
                f"{folder} holds another sweep, or this one with other settings; choose a new "
                "--directory (only `trials` may change)"
            )
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose another --directory"
        ) from None


def _line(done: TrialRun, num: int, metric: str | None) -> str:
    title, shown = _scored(done.score, metric)
    outcome = f"failed: {done.error}" if done.score is None else f"{title} {shown}"
    return f"trial {done.trial + 1} of {num}, seed {done.seed}: {_words(done)}: {outcome}"


def _scored(score: float | None, metric: str | None) -> tuple[str, str]:
    """Return what the score is, and how it reads: a return, or the mean of a metric."""
    shown = "-" if score is None else f"{score:.4g}" if metric else f"{score:.1f}"
    return f"mean {metric or 'return'}", shown


def _words(done: TrialRun) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in done.settings.items()
    )


def _print_trials(console: PlainConsole, ledger: SweepLedger, num: int, metric: str | None) -> None:
    def rank(trial: int) -> float:
        score = ledger.score(trial)
        return float("inf") if score is None else -score

    table = Table(box=None, pad_edge=False)
    table.add_column("settings", overflow="fold")
    for title in ("trial", "finished", "failed", _scored(None, metric)[0]):
        table.add_column(title, justify="right")
    for trial in sorted(range(num), key=rank):
        runs, score = ledger.runs_of(trial), ledger.score(trial)
        finished = sum(each.score is not None for each in runs)
        _, shown = _scored(score, metric)
        counts = (str(trial + 1), str(finished), str(len(runs) - finished), shown)
        table.add_row(console.cell(_words(runs[0])), *counts)
    console.print(table)
