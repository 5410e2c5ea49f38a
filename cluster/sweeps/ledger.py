"""What a sweep has tried: an Optuna study in its folder, which ``optuna-dashboard`` can show.

Its journal is lines of JSON. A trial is noted with all its settings in one line before its first
run begins, then what it reports at each rung, then how it ended: so nothing is lost or doubled
wherever the sweep is killed. What became of single runs stands in their directories.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import open_for_appending, open_locked, whole_lines
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.sweep import Range, SweepConfig

optuna.logging.set_verbosity(optuna.logging.ERROR)

_STUDY = "sweep"
_NUMBER, _ERROR = "trial", "error"


def search_space(sweep: SweepConfig) -> dict[str, BaseDistribution]:
    """Return what is varied; choices as JSON texts, for Optuna takes no lists of layers."""
    space: dict[str, BaseDistribution] = {}
    for name, values in sweep.settings.items():
        if not isinstance(values, Range):
            space[name] = CategoricalDistribution([json.dumps(value) for value in values])
        elif values.integer:
            space[name] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            space[name] = FloatDistribution(values.low, values.high, log=values.log)
    return space


def settings_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a trial tries, by ``section.field``."""
    return {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in trial.params.items()
    }


def number_of(trial: FrozenTrial) -> int:
    """Return the number of a trial in its sweep, from 0 on; a retried one has several rows."""
    return int(trial.user_attrs[_NUMBER])


def error_of(trial: FrozenTrial) -> str:
    """Return why a trial failed; empty if it did not."""
    return str(trial.user_attrs.get(_ERROR, ""))


def is_result(trial: FrozenTrial) -> bool:
    """Return whether a trial was trained to its end and keeps to all constraints."""
    return trial.state is TrialState.COMPLETE and all(v <= 0 for v in trial.constraints.values())


def trial_name(number: int) -> str:
    """Return what the names of a trial's run directories begin with."""
    return f"trial-{number:04d}"


def run_name(number: int, seed: int) -> str:
    """Return the name of a run directory, below ``runs/``."""
    return f"{trial_name(number)}-seed-{seed}"


class SweepLedger:
    """The trials of a sweep, and the study that they are kept in.

    Attributes:
        trials: By number, the newest of what the study has of each.

    Args:
        folder: That of the sweep, which is locked by this process.
        sweep: What is swept there.
        retry_failed: Begin failed trials again. The study keeps the failure, and has another row.

    Raises:
        UsageError: The study is damaged, or no file.
    """

    def __init__(self, folder: Path, sweep: SweepConfig, *, retry_failed: bool = False) -> None:
        self._space = search_space(sweep)
        self._storage, self._study, rows = _open(folder / "study.jsonl", sweep)
        self._id = self._storage.get_study_id_from_name(_STUDY)
        self.trials: dict[int, FrozenTrial] = {number_of(row): row for row in rows}
        for number, row in list(self.trials.items()) if retry_failed else ():
            if row.state is TrialState.FAIL:
                self.begin(number, row.params, row.intermediate_values)

    def begin(
        self,
        number: int,
        params: Mapping[str, Any],
        reports: Mapping[int, float] | None = None,
    ) -> None:
        """Note what a trial tries: from now on that, whatever a sampler would propose."""
        row = optuna.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=self._space,
            user_attrs={_NUMBER: number},
            intermediate_values=dict(reports or {}),
        )
        place = self._storage.create_new_trial(self._id, template_trial=row)
        self.trials[number] = self._storage.get_trial(place)

    def report(self, number: int, steps: int, value: float) -> None:
        """Note what a trial that has come to a rung is worth there."""
        self._trial(number).report(value, steps)
        self._read(number)

    def finish(self, number: int, values: Sequence[float], excess: Mapping[str, float]) -> None:
        """Note that a trial was trained to its end.

        Args:
            number: Which.
            values: Of each objective.
            excess: By constraint, what is above it.
        """
        trial = self._trial(number)
        for metric in excess.keys() - trial.constraints:  # a kill may have come in between
            trial.set_constraint(metric, excess[metric])
        self._end(number, TrialState.COMPLETE, values)

    def prune(self, number: int) -> None:
        """Note that a trial was stopped at the rung that it reported last."""
        self._end(number, TrialState.PRUNED)

    def fail(self, number: int, error: str) -> None:
        """Note that a run of a trial failed, and the last that it said."""
        self._trial(number).set_user_attr(_ERROR, error)
        self._end(number, TrialState.FAIL)

    def front(self) -> list[int]:
        """Return the best trials: one, or of several objectives those that none surpasses."""
        if not any(map(is_result, self.trials.values())):
            return []
        several = len(self._study.directions) > 1
        return [
            number_of(row)
            for row in (self._study.best_trials if several else [self._study.best_trial])
        ]

    def _place(self, number: int) -> int:
        """Return the id that the storage has given to the newest row of a trial."""
        row = self.trials[number].number
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, row)

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._place(number))

    def _end(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        self._study.tell(self.trials[number].number, values, state)
        self._read(number)

    def _read(self, number: int) -> None:
        self.trials[number] = self._storage.get_trial(self._place(number))


def _open(file: Path, sweep: SweepConfig) -> tuple[JournalStorage, optuna.Study, list[FrozenTrial]]:
    try:
        num_bytes = 0
        for line in whole_lines(file):
            json.loads(line)  # Optuna passes over a last line that is none
            num_bytes += len(line)
        open_for_appending(file).close()
        os.truncate(file, num_bytes)  # of a torn line, nothing is known
        # Left by a sweep that was killed while it wrote; Optuna would wait for it for 30 s.
        file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(file)))
        if not storage.get_all_studies():
            directions = [objective.direction for objective in sweep.objectives]
            optuna.create_study(storage=storage, study_name=_STUDY, directions=directions)
        # It is never asked what to try: that is done in memory.
        sampler = optuna.samplers.RandomSampler()
        study = optuna.load_study(study_name=_STUDY, storage=storage, sampler=sampler)
        rows = study.get_trials()
        for row in rows:
            number_of(row)
    except Exception as error:  # noqa: BLE001  (Optuna raises what it stumbles over)
        raise UsageError(
            f"{file} is damaged ({type(error).__name__}: {error}); mend it, or choose another "
            "--directory"
        ) from None
    return storage, study, rows


def _require_no_other_folder(folder: Path) -> None:
    """Refuse a run directory, and a folder with a file that a sweep would overwrite."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names & {"sweep.yaml", "study.jsonl"}:
        return
    own = RunDirectory(folder)
    if "config.yaml" in names and names & {own.checkpoints.name, own.journal_file.name}:
        raise UsageError(f"{folder} is a run directory; choose another --directory")
    if own.tracking_file.name in names:
        raise UsageError(f"{own.tracking_file} is not of a sweep; choose another --directory")


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold a sweep for this process: before its ledger is read, which mends a line that is torn.

    Others see by the same lock that its run in MLflow is alive. The folder is made if need be.

    Raises:
        UsageError: Another process holds it, the folder holds something else, or it cannot be
            written to.
    """
    try:
        _require_no_other_folder(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # as run directories
        (folder / "runs").mkdir(exist_ok=True)
        lock = open_locked(RunDirectory(folder).tracking_log)
    except BlockingIOError:
        raise UsageError(f"{folder} is in use: another process runs this sweep") from None
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose another --directory"
        ) from None
    with lock:
        yield
