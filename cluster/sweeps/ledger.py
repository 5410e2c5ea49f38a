"""The files of a sweep that are its truth, one line of JSON each time something is known.

``settings.jsonl``: what a trial tries, noted before its first run begins, for a sampler may propose
others once it has heard of more. ``trials.jsonl``: the runs that came to an end.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import append_json_line, open_locked, whole_lines
from reinforce.cluster.run_store.run_directory import RunDirectory


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

    trial: int
    seed: int
    settings: dict[str, Any]
    status: str
    score: float | None
    run: str
    error: str | None = None


class SweepLedger:
    """Appends to the files in the folder of a sweep and remembers what they hold.

    Runs are those that came to an end, in that order; settings are those of trials that have begun.
    """

    def __init__(self, folder: Path, *, forget_failed: bool) -> None:
        self._trials_file = folder / "trials.jsonl"
        self._settings_file = folder / "settings.jsonl"
        runs = (TrialRun(**values) for values in _read(self._trials_file))
        latest = {(run.trial, run.seed): run for run in runs}
        self._runs = {
            identity: run
            for identity, run in latest.items()
            if not (forget_failed and run.status == "failed")
        }
        self._settings: dict[int, dict[str, Any]] = {
            values["trial"]: values["settings"] for values in _read(self._settings_file)
        }

    def begin(self, trial: int, settings: dict[str, Any]) -> None:
        """Note what a trial tries: from now on that, whatever a sampler would propose."""
        append_json_line(self._settings_file, {"trial": trial, "settings": settings})
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


def _read(path: Path) -> list[dict[str, Any]]:
    lines = list(whole_lines(path))
    if path.exists():  # what a torn line was about is looked at once more
        os.truncate(path, sum(map(len, lines)))
    return [json.loads(line) for line in lines]


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
