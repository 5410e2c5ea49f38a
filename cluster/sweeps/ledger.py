"""The files of a sweep that are its truth, one line of JSON each time something is known.

``settings.jsonl``: what a trial tries, noted before its first run begins, for a sampler may propose
others once it has heard of more. ``trials.jsonl``: the runs that came to an end.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import append_json_line, open_locked, whole_lines
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.typed_json import Count, Finite, parse_json
from reinforce.configs.experiment import RUN_NAME
from reinforce.configs.regular_files import IrregularFileError

Line = TypeVar("Line")


@dataclass(frozen=True)
class TrialRun:
    """One run of one trial, which tries settings by ``section.field``.

    Attributes:
        status: ``finished``, or ``failed``.
        score: Mean return of the last weights on fresh episodes, or mean of
            ``stop.target_metric``; None if it failed.
        run: Name of the run directory under ``runs/``.
        error: The last line that a failed run said; None otherwise.
    """

    trial: Count
    seed: Count
    settings: dict[str, Any]
    status: Literal["finished", "failed"]
    score: Finite | None
    run: Annotated[str, Field(pattern=RUN_NAME)]
    error: str | None = None


@dataclass(frozen=True)
class _Begun:
    """What a trial tries."""

    trial: Count
    settings: dict[str, Any]


class SweepLedger:
    """Appends to the files in the folder of a sweep and remembers what they hold.

    Runs are those that came to an end, in that order; settings are those of trials that have begun.
    """

    def __init__(self, folder: Path, *, forget_failed: bool) -> None:
        self._trials_file = folder / "trials.jsonl"
        self._settings_file = folder / "settings.jsonl"
        latest = {(run.trial, run.seed): run for run in _read(self._trials_file, TrialRun)}
        self._runs = {
            identity: run
            for identity, run in latest.items()
            if not (forget_failed and run.status == "failed")
        }
        self._settings: dict[int, dict[str, Any]] = {
            begun.trial: begun.settings for begun in _read(self._settings_file, _Begun)
        }

    def begin(self, trial: int, settings: dict[str, Any]) -> None:
        """Note what a trial tries: from now on that, whatever a sampler would propose."""
        append_json_line(self._settings_file, asdict(_Begun(trial, settings)))
        self._settings[trial] = settings

    def settings_of(self, trial: int) -> dict[str, Any] | None:
        return self._settings.get(trial)

    def add(self, run: TrialRun) -> None:
        append_json_line(self._trials_file, asdict(run))
        self._runs[run.trial, run.seed] = run

    def runs(self) -> list[TrialRun]:
        return list(self._runs.values())

    def find(self, trial: int, seed: int) -> TrialRun | None:
        return self._runs.get((trial, seed))

    def runs_of(self, trial: int) -> list[TrialRun]:
        return [run for run in self._runs.values() if run.trial == trial]

    def score(self, trial: int) -> float | None:
        """Return the mean score of the finished runs of a trial; None if there is none."""
        # Sorted: a sum depends on the order, and that of the ends is a matter of chance.
        scores = sorted(run.score for run in self.runs_of(trial) if run.score is not None)
        return sum(scores) / len(scores) if scores else None

    def history(self, before: int) -> Sequence[tuple[dict[str, Any], float]]:
        """Return (settings, mean score) of the trials before one, but for those without a score."""
        scores = ((trial, self.score(trial)) for trial in range(before))
        return [
            (self.runs_of(trial)[0].settings, score) for trial, score in scores if score is not None
        ]


def _read(path: Path, kind: type[Line]) -> list[Line]:
    """Return what the lines of a file hold, and cut off one that is torn.

    Raises:
        UsageError: A line is damaged, or it is no file; nothing was changed.
    """
    values: list[Line] = []
    try:
        lines = list(whole_lines(path))
        for line in lines:
            values.append(parse_json(line, kind))  # noqa: PERF401  (counted below)
    except IrregularFileError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(
            f"{path}, line {len(values) + 1} is damaged ({error}); remove that line to have what "
            "it was about done again"
        ) from None
    if path.exists():  # what a torn line was about is looked at once more
        os.truncate(path, sum(map(len, lines)))
    return values


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold a sweep for this process: before its ledger is read, which mends a line that is torn.

    Others see by the same lock that its run in MLflow is alive.

    Raises:
        UsageError: Another process holds it.
    """
    try:
        lock = open_locked(RunDirectory(folder).tracking_log)
    except BlockingIOError:
        raise UsageError(f"{folder} is in use: another process runs this sweep") from None
    with lock:
        yield
