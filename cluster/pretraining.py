"""Pretraining: a run without updates, whose weights imitate recorded actions.

Its run directory is like any other: it can be evaluated, exported, and started from.
"""

import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import TrainingError, UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.progress import BatchSize, Progress
from reinforce.cluster.run_lifecycle import check_environment, new_run_directory
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import write_environment
from reinforce.cluster.run_store.summary import PRETRAINED, Outcome, write_summary
from reinforce.cluster.run_store.trust import note_own
from reinforce.cluster.warm_start import first_state, start_of, with_own_start, with_start_noted
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import open_regular_file
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import arrays_sha256
from reinforce.learner.state import LearnerState
from reinforce.workers.demonstrations import ARRAYS, trajectories_of
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

if TYPE_CHECKING:
    from reinforce.learner.imitation import Imitation

_SHOWN_EPOCHS = 10


@dataclass(frozen=True)
class Fit:
    """How to fit a policy to data; learning rate and optimizer come from the section learner.

    Attributes:
        epochs: Passes over the data, >= 1.
        batch_steps: Pairs per gradient, >= 1; in whole episodes for a policy with a memory.
        held_out: Share of the data to hold out for judging the result, in (0, 1).
    """

    epochs: int = 20
    batch_steps: int = 256
    held_out: float = 0.1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_steps"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise UsageError(f"{name} = {getattr(self, name)!r} must be an integer >= 1")
        if not 0 < self.held_out < 1:
            raise UsageError(f"held_out = {self.held_out!r} must be between 0 and 1")


def pretrain_run(
    config: Config,
    data: str | Path | Mapping[str, NDArray[Any]],
    fit: Fit,
    console: PlainConsole,
    started_s: float,
    remarks: Sequence[str] = (),
) -> RunDirectory:
    """Fit a policy to recorded actions, and return its new run directory.

    Args:
        config: Environment, policy, learning rate, seed, and the place of the run directory.
        data: A NumPy file, ``.npz``, or its content.
        fit: Options of the fit.
        console: Shows progress.
        started_s: ``time.monotonic()`` when the program began.
        remarks: Sentences about the settings, shown once the environment has been checked.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: It cannot be done; nothing is left
            behind.
        TrainingError: The likelihood is not finite; nothing is left behind.
    """
    if config.run.start_from_optimizer:
        raise UsageError(
            "run.start_from_optimizer = True has no effect on pretraining, which uses a fresh "
            "optimizer: leave it out"
        )
    arrays, unread = _sorted(data) if isinstance(data, Mapping) else _read(Path(data))
    spec = check_environment(config, console, remarks)
    config = with_start_noted(config, spec)
    about = {"start_from": start_of(config), "data_sha256": arrays_sha256(arrays), **asdict(fit)}
    pairs = trajectories_of(arrays, spec, unread)
    if unread:
        console.say(f"arrays that are not used: {', '.join(map(shown, unread))}", "dim")
    run = new_run_directory(config)
    try:
        with Journal(run.journal_file):  # empty, and while it is open the run is going on
            state, measured = _fitted(config, spec, pairs, fit, console)
            write_environment(run.environment_file, spec)
            progress = Progress(batch_size=BatchSize.first(config.learner))
            checkpoint = Checkpoint(state, progress)
            sha256 = checkpoint.weights.sha256
            # What begins with it is counted apart from what begins at random.
            config = with_own_start(config, sha256)
            run.write_config(config)
            Checkpoints(run, config).save(checkpoint)
            note_own(run, config, console.say)
            wall_time_s = time.monotonic() - started_s
            outcome = Outcome(PRETRAINED, 0, progress, sha256)
            summary = write_summary(run, outcome, wall_time_s, start_from=start_of(config))
            about |= measured
            write_json(run.summary_file, {**summary, "pretraining": about})
            run.note_start("pretrain", 0, {}, pretraining=about)  # for good: a summary is replaced
    except BaseException as error:
        run.discard()
        if isinstance(error, FloatingPointError):
            raise TrainingError(str(error)) from error
        raise
    console.say_rows({"weights": f"sha256 {sha256}", "run": str(run.path)}, ("weights", "run"))
    return run


def _sorted(
    data: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the relevant arrays, which are read now, and the names of the others."""
    wanted = {name: name.partition("/")[0] in ARRAYS for name in data}
    arrays = {name: data[name] for name, is_wanted in wanted.items() if is_wanted}
    return arrays, [name for name, is_wanted in wanted.items() if not is_wanted]


def _read(file: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the relevant arrays of an ``.npz`` file, and the names of the others.

    NumPy refuses objects.

    Raises:
        ConfigError: It is not such a file, or cannot be read.
    """
    try:
        with open_regular_file(file) as opened, np.load(opened) as archive:
            if isinstance(archive, NpzFile):
                return _sorted(archive)
        reason = "it is not a NumPy .npz file"
    except (ValueError, EOFError, MemoryError, LookupError, TypeError) as error:
        reason = f"it is not an .npz file of plain arrays ({error})"
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    raise ConfigError(f"cannot read the data in {shown(str(file))}: {reason}")


def _fitted(
    config: Config, spec: EnvironmentSpec, pairs: Trajectories, fit: Fit, console: PlainConsole
) -> tuple[LearnerState, dict[str, Any]]:
    """Return the state of a learner fitted to the data, and the likelihoods."""
    from reinforce.learner.imitation import Imitation, held_out
    from reinforce.learner.learner import Learner

    architecture, seed = architecture_of(config, spec), config.run.seed
    learned, judge = held_out(pairs, fit.held_out, seed)
    start = first_state(config, spec)
    imitation = Imitation(config.learner, architecture, seed, learned, start)
    console.say(
        f"{counted(learned.num_steps, 'step')} in {counted(learned.num_episodes, 'episode')} for "
        "training, "
        f"{judge.num_steps:,} held out; before: {imitation.likelihood(judge)}"
    )
    _run_epochs(imitation, learned, judge, fit, console)
    ours, theirs = imitation.likelihood(learned), imitation.likelihood(judge)
    console.say(f"training: {ours}")
    console.say(f"held out:     {theirs}")
    # Optimizer and baselines of learning, which begins here, are as they are in the beginning.
    learner = Learner(config.learner, architecture, seed)
    learner.load_state(imitation.state())
    measured = {"learned_steps": learned.num_steps, "held_out_steps": judge.num_steps}
    return learner.state(), measured | {"learned": asdict(ours), "judged": asdict(theirs)}


def _run_epochs(
    imitation: "Imitation",
    learned: Trajectories,
    judge: Trajectories,
    fit: Fit,
    console: PlainConsole,
) -> None:
    every = -(-fit.epochs // _SHOWN_EPOCHS)
    epochs = imitation.epochs(learned, fit.epochs, fit.batch_steps)
    for number, log_likelihood in enumerate(epochs, start=1):
        if number % every == 0 or number == fit.epochs:
            console.say(
                f"epoch {number}/{fit.epochs}: log-likelihood {log_likelihood:.4f}; "
                f"held out: {imitation.likelihood(judge)}"
            )
