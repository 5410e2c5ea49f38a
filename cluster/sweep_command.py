"""``reinforce sweep``: many runs of one configuration with other settings, each a normal run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.arguments import Flag
from cluster.errors import InterruptedRunError, UsageError
from cluster.interrupts import Interrupts
from cluster.own_command import own_command, own_environment
from cluster.run_directory import RunDirectory, read_json
from cluster.sweep_ledger import SweepLedger, TrialRun
from cluster.sweep_samplers import make_sampler, num_trials
from configs.config import Config
from configs.loading import to_yaml
from configs.section import ConfigError
from configs.sweep import SweepConfig, load_sweep

_STOP_PATIENCE_S = 120.0
"""For a run that was told to stop: it writes a checkpoint first."""


@dataclass(frozen=True)
class Arguments:
    """Try settings: a grid, random draws, or draws by Optuna, each with several seeds.

    The file names a base and what varies; docs/tools.md shows one. Every trial is a normal run,
    one after the other. Called again after an interruption, a sweep goes on; a run that came to its
    end is not run again, and a run that fails is noted and does not end the sweep.

    Attributes:
        file: YAML file of the sweep.
        directory: Folder of the sweep. None: sweeps/ and the name of the file.
        retry_failed: Run those again that failed.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.yaml")]
    directory: Path | None = None
    retry_failed: Flag = False


class Sweep:
    """A sweep in its folder."""

    def __init__(
        self, sweep: SweepConfig, base: Config, folder: Path, ledger: SweepLedger, console: Console
    ) -> None:
        self._sweep, self._base = sweep, base
        self._folder, self._ledger, self._console = folder, ledger, console
        self._sampler = make_sampler(sweep)

    def run(self, interrupts: Interrupts) -> None:
        """Run what has not come to its end yet.

        Raises:
            InterruptedRunError: A signal came; the run in progress has written its checkpoint.
        """
        from cluster.sweep_tracking import SweepTracking

        tracking = SweepTracking(self._folder, self._base, self._say)
        status = "KILLED"
        try:
            for trial in range(num_trials(self._sweep)):
                for seed in self._sweep.seeds:
                    if self._ledger.find(trial, seed) is None:
                        done = self._run_one(trial, seed, interrupts)
                        self._ledger.add(done)
                        self._say(_line(done, num_trials(self._sweep)))
                        tracking.note(done, RunDirectory(self._folder / "runs" / done.run))
            status = "FINISHED"
        finally:
            scores = [self._ledger.score(trial) for trial in range(num_trials(self._sweep))]
            found = [score for score in scores if score is not None]
            tracking.finish(status, max(found, default=None))

    def _run_one(self, trial: int, seed: int, interrupts: Interrupts) -> TrialRun:
        known = self._ledger.runs_of(trial)
        settings = known[0].settings if known else self._draw(trial)
        name = f"trial-{trial:04d}-seed-{seed}"
        run = RunDirectory(self._folder / "runs" / name)
        try:
            config = self._config(settings, run, seed)
        except ConfigError as error:  # these settings do not go together
            return TrialRun(trial, seed, settings, "failed", None, name, str(error))
        file, log = (
            self._folder / kind / f"{name}.{suffix}"
            for kind, suffix in (("configs", "yaml"), ("logs", "log"))
        )
        for path in (file, log):
            path.parent.mkdir(exist_ok=True)
        file.write_text(to_yaml(config), encoding="utf-8")
        summary = read_json(run.summary_file)
        if not summary or summary["status"] != "finished":
            _train(file, log, interrupts)
            summary = read_json(run.summary_file)
        if summary and summary["status"] == "finished":
            score = summary["evaluation"]["return_mean"]
            return TrialRun(trial, seed, settings, "finished", score, name)
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return TrialRun(trial, seed, settings, "failed", None, name, (said or ["nothing"])[-1])

    def _config(self, settings: dict[str, object], run: RunDirectory, seed: int) -> Config:
        values = self._sweep.config(self._base, settings).model_dump(mode="json")
        identity = {"name": run.name, "seed": seed, "directory": str(run.path.parent)}
        return Config.model_validate({**values, "run": identity})

    def _draw(self, trial: int) -> dict[str, object]:
        return self._sampler(trial, self._ledger.history(trial))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)


def run(arguments: Arguments, console: Console) -> None:
    """Run the sweep, or what is left of it, and print the trials, best first.

    Raises:
        UsageError, ConfigError: It cannot be run as it is written.
        SystemExit: 130 or 143 after a signal.
    """
    sweep, base = load_sweep(arguments.file)
    folder = (arguments.directory or Path("sweeps") / arguments.file.stem).absolute()
    _check(sweep, base)
    _claim(folder, sweep, base)
    ledger = SweepLedger(folder / "trials.jsonl", forget_failed=arguments.retry_failed)
    try:
        with Interrupts() as interrupts:
            Sweep(sweep, base, folder, ledger, console).run(interrupts)
    except InterruptedRunError as interruption:
        console.print("stopped; the same command goes on from here", style="yellow")
        raise SystemExit(interruption.exit_code) from None
    _print_trials(console, ledger, num_trials(sweep))
    console.print(f"`reinforce compare {folder}/runs/*` compares them", soft_wrap=True)


def _check(sweep: SweepConfig, base: Config) -> None:
    """Find out now what cannot be: of a grid, every combination is known."""
    sampler = make_sampler(sweep)
    if sweep.method == "grid":
        for trial in range(num_trials(sweep)):
            sweep.config(base, sampler(trial, []))


def _claim(folder: Path, sweep: SweepConfig, base: Config) -> None:
    """Note in the folder what is swept; refuse one in which something else was."""
    about = {"sweep": sweep.model_dump(mode="json", exclude={"trials"}), "base": to_yaml(base)}
    text = yaml.safe_dump(about, sort_keys=False)
    file = folder / "sweep.yaml"
    try:
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise UsageError(
                f"{folder} holds another sweep, or this one with other settings; choose a new "
                "--directory (only `trials` may change)"
            )
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose another --directory"
        ) from None


def _train(file: Path, log: Path, interrupts: Interrupts) -> None:
    """Run ``reinforce train`` to its end, whatever that is; pass an interruption on.

    Raises:
        InterruptedRunError: A signal came, and the run has stopped.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            own_command("train", str(file), "--resume", "auto"),
            env=own_environment(),
            stdout=output,
            stderr=output,
            # Out of the terminal's group: Ctrl-C reaches it once, through us.
            start_new_session=True,
        )
        try:
            while True:
                interrupts.check()
                try:
                    process.wait(0.2)
                except subprocess.TimeoutExpired:
                    continue
                return
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _line(done: TrialRun, num: int) -> str:
    outcome = f"failed: {done.error}" if done.score is None else f"mean return {done.score:.1f}"
    return f"trial {done.trial + 1} of {num}, seed {done.seed}: {_words(done)}: {outcome}"


def _words(done: TrialRun) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in done.settings.items()
    )


def _print_trials(console: Console, ledger: SweepLedger, num: int) -> None:
    def rank(trial: int) -> float:
        score = ledger.score(trial)
        return float("inf") if score is None else -score

    table = Table(box=None, pad_edge=False)
    table.add_column("settings", overflow="fold")
    for title in ("trial", "finished", "failed", "mean return"):
        table.add_column(title, justify="right")
    for trial in sorted(range(num), key=rank):
        runs, score = ledger.runs_of(trial), ledger.score(trial)
        finished = sum(each.score is not None for each in runs)
        shown = "-" if score is None else f"{score:.1f}"
        counts = (str(trial + 1), str(finished), str(len(runs) - finished), shown)
        table.add_row(Text(_words(runs[0])), *counts)
    console.print(table)
