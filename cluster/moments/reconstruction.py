"""The state of a run after any update, recomputed by the training loop itself.

A trajectory is a function of weights and ticket, and weights are a function of the trajectories
before them. So the nearest checkpoint, or the start of the run, and the configuration are enough.
The loop runs in this process and in a temporary folder; the run directory is only read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.inline import inline_backend
from reinforce.cluster.bookkeeping import RunContext
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.display import make_display
from reinforce.cluster.errors import NotReproducedError, UsageError
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.moments.entry_differences import (
    EntryDifference,
    entry_difference,
    unmatched_metrics,
)
from reinforce.cluster.run_requests import RequestsReader
from reinforce.cluster.run_store.changed_run import carried_over
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal, JournalEntry, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.trust import CHECKPOINTS, CODE, START, require_trust
from reinforce.cluster.training import Training
from reinforce.cluster.warm_start import first_state
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, with_overrides
from reinforce.configs.roles import config_after
from reinforce.learner.policies.seeds import SEED_SCHEME
from reinforce.workers.environment import EnvironmentSpec, inspect_environment

_ELSEWHERE = {
    "cluster.backend": "inline",
    "cluster.address": None,
    "checkpoint.directory": None,
    "stop.max_environment_steps": None,
    "stop.max_wall_time_s": None,
    "stop.target_return": None,
    "stop.patience_evaluations": None,
}
"""Settings that do not affect an update: where it runs, and when a run ends."""


class UpdateNotReproducedError(NotReproducedError):
    """A recomputed update differs from the journal.

    Attributes:
        difference: The difference between the journal and the recomputed update.
    """

    def __init__(self, difference: EntryDifference) -> None:
        self.difference = difference
        super().__init__(
            f"{difference.in_words('in the journal', 'recomputed')}. Other versions of the "
            "packages, another type of processor, and an environment that was edited or depends "
            "on more than its seed give other numbers; `reinforce verify` shows more"
        )


class Reconstruction:
    """Recomputes the state of a run after any update, and compares each step with the journal.

    Attributes:
        run: The run directory.
        config: The current configuration, with all changes.
        checkpoints: The existing checkpoints.
        reproduced: Updates, by the number applied, that match the journal.
        unmatched: Metrics of the journal that were not recomputed, each with its first update.
    """

    def __init__(self, run: RunDirectory, console: PlainConsole, *, trust: bool = False) -> None:
        """Read the run, without playing anything yet.

        Args:
            run: The run directory.
            console: Shows which updates are recomputed.
            trust: Allow the code and places that the directory names, whoever made it.

        Raises:
            ConfigError, UsageError: The run cannot be read, or is neither the user's nor trusted.
        """
        self.run, self._console = run, console
        self.config = load_config(str(run.config_file))
        require_trust(run, self.config, (*CODE, *CHECKPOINTS, *START), trust=trust)
        for num_changes in range(len(self.config.run.changes)):  # earlier code may be another
            require_trust(run, config_after(self.config, num_changes), CODE, trust=trust)
        self.checkpoints = Checkpoints(run, self.config)
        self.reproduced: set[int] = set()
        self.unmatched: dict[str, int] = {}
        self._made: Checkpoint | None = None

    @cached_property
    def entries(self) -> dict[int, JournalEntry]:
        """The journal's entries of updates, by the number applied.

        Raises:
            RunDirectoryError: A line is damaged.
        """
        return {
            entry.updates: entry for entry in read_entries(self.run.journal_file) if entry.batch
        }

    @cached_property
    def num_updates(self) -> int:
        """Updates of the run, according to journal and checkpoints."""
        return max((0, *self.entries, *self.checkpoints.versions()))

    def at(self, version: int) -> Checkpoint:
        """Return the run's state after this many updates, as in a checkpoint.

        Raises:
            UsageError: The run never had this state, or it cannot be recomputed.
            NotReproducedError: An update on the way differs from the journal.
            TrainingError: A ticket or the learner failed on the way.
        """
        self.require_reached(version)
        nearest = max((v for v in self.checkpoints.versions() if v <= version), default=0)
        start = self._made
        if start is None or not nearest <= start.learner.version <= version:
            start = self.nearest(version) or self.first()
        self._made = self.advance(start, version)
        return self._made

    def require_reached(self, version: int) -> None:
        """Raise UsageError if the run has not made so many updates."""
        if not 0 <= version <= self.num_updates:
            raise UsageError(
                f"{self.run.path} has no update {version}: choose 0 to {self.num_updates}"
            )

    def nearest(self, version: int) -> Checkpoint | None:
        """Return the newest intact checkpoint up to a version; None if there is none."""
        for there in reversed([v for v in self.checkpoints.versions() if v <= version]):
            try:
                checkpoint = self.checkpoints.load(there)
            except (CorruptCheckpointError, OSError) as error:
                self._console.warn(f"skipping a checkpoint: {error}")
                continue
            if checkpoint.learner.version == there:
                self._require_recorded(checkpoint)
                return checkpoint
        return None

    def first(self) -> Checkpoint:
        """Return the run's state before its first update.

        Raises:
            UsageError: Its initial weights are gone.
        """
        config = self._config_of(0)
        if config.run.start_from_sha256 and not config.run.start_from:
            if pretrained := self.nearest(0):
                return pretrained
            raise UsageError(
                f"{self.run.path} began with weights from `pretrain`, and its first checkpoint is "
                "gone: only updates after a checkpoint can be computed again"
            )
        spec = inspect_environment(config.environment)
        with self._training(config, spec, None) as training:
            return self._completed(training.checkpoint(), config, spec)

    def advance(self, start: Checkpoint, version: int) -> Checkpoint:
        """Return the run's state after this many updates, from an earlier one.

        Deliberate changes on the way are repeated.

        Raises:
            UsageError, NotReproducedError, TrainingError: As ``at``.
        """
        while True:
            num_changes = len(Config.model_validate(start.config).run.changes)
            change = next(iter(self.config.run.changes[num_changes:]), None)
            if change is None or change.update > version:
                return self._trained(start, self._config_of(num_changes), version)
            made = self._trained(start, self._config_of(num_changes), change.update)
            config = self._config_of(num_changes + 1)
            start = carried_over(made, config, change)
            start = replace(start, config=config.model_dump(mode="json"))

    def require_same_seeds(self, checkpoint: Checkpoint) -> None:
        """Raise UsageError if another version drew the tickets after a checkpoint."""
        if checkpoint.seed_scheme != SEED_SCHEME:
            raise UsageError(
                "another version of this program drew the tickets after update "
                f"{checkpoint.learner.version}, with other episodes from run.seed = "
                f"{self.config.run.seed}: use the version that played them ({self.run.origin_file} "
                "says which)"
            )

    def _config_of(self, num_changes: int) -> Config:
        return config_after(self.config, num_changes)

    def _trained(self, start: Checkpoint, config: Config, version: int) -> Checkpoint:
        """Return a checkpoint after further updates under one configuration."""
        first = start.learner.version
        if first == version:
            return start
        self.require_same_seeds(start)
        spec = inspect_environment(config.environment)
        require_fit(start, config, spec)
        which = f"updates {first + 1} to {version}" if version > first + 1 else f"update {version}"
        self._console.say(f"computing {which} again, in this process")
        with self._training(config, spec, start, version) as training:
            for _ in range(first, version):
                training.update()
            return self._completed(training.checkpoint(), config, spec)

    @staticmethod
    def _completed(made: Checkpoint, config: Config, spec: EnvironmentSpec) -> Checkpoint:
        return replace(made, config=config.model_dump(mode="json"), environment=spec)

    @contextmanager
    def _training(
        self, config: Config, spec: EnvironmentSpec, start: Checkpoint | None, version: int = 1
    ) -> Iterator[Training]:
        """Context of the loop, with a run directory that is removed."""
        config = with_overrides(config, {**_ELSEWHERE, "stop.max_updates": version})
        state = start.learner if start else first_state(config, spec)
        interrupts = Interrupts()
        with (
            TemporaryDirectory(prefix="reinforce-moment-") as folder,
            Journal(Path(folder) / "metrics.jsonl") as journal,
            inline_backend(config, spec, Driver(interrupts), state) as backend,
            make_display(self._console, config, f"{self.run.name}, recomputed") as display,
        ):

            def show(entry: JournalEntry) -> None:
                display.show(entry)
                self._require_equal(entry)

            scratch = RunDirectory(Path(folder))
            context = RunContext(
                *(journal, Checkpoints(scratch, config), show, display.warn, interrupts),
                RequestsReader(scratch.control_file),
            )
            yield Training(config, backend, context, start)

    def _require_equal(self, made: JournalEntry) -> None:
        recorded = self.entries.get(made.updates)
        if made.batch is None or recorded is None:  # a long ticket, of an update still to come
            return
        difference = entry_difference(recorded, made)
        if difference:
            raise UpdateNotReproducedError(difference)
        self.reproduced.add(made.updates)
        for name in unmatched_metrics(recorded, made):
            self.unmatched.setdefault(name, made.updates)

    def _require_recorded(self, checkpoint: Checkpoint) -> None:
        """Raise NotReproducedError if the journal has other weights."""
        recorded = self.entries.get(checkpoint.learner.version)
        expected, found = recorded and recorded.weights_sha256, checkpoint.weights.sha256
        if expected and expected != found:
            raise NotReproducedError(
                f"the checkpoint after update {checkpoint.learner.version} holds the weights "
                f"{found}, but the journal says {expected}: one of the two was altered, or belongs "
                "to another run"
            )
