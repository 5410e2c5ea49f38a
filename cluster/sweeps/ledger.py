"""``trials.jsonl``: what a sweep has done, one line per run that came to an end."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrialRun:
    """One run of one trial.

    Attributes:
        trial: Number of the trial, >= 0.
        seed: ``run.seed``.
        settings: What the trial tries, by ``section.field``.
        status: ``finished``, or ``failed``.
        score: Mean return of the last weights on fresh episodes; None if it failed.
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
    """Appends runs to a file and remembers them."""

    def __init__(self, path: Path, *, forget_failed: bool) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        if lines and not lines[-1].endswith("\n"):  # torn: that run is looked at once more
            path.write_text("".join(lines := lines[:-1]), encoding="utf-8")
        found = [TrialRun(**json.loads(line)) for line in lines]
        by_identity = {(each.trial, each.seed): each for each in found}
        self._runs = {
            identity: each
            for identity, each in by_identity.items()
            if not (forget_failed and each.status == "failed")
        }

    def add(self, run: TrialRun) -> None:
        """Note a run that came to an end."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")
        self._runs[run.trial, run.seed] = run

    def find(self, trial: int, seed: int) -> TrialRun | None:
        """Return a run that came to its end, or None."""
        return self._runs.get((trial, seed))

    def runs_of(self, trial: int) -> list[TrialRun]:
        """Return the runs of a trial that came to an end."""
        return [run for run in self._runs.values() if run.trial == trial]

    def score(self, trial: int) -> float | None:
        """Return the mean score of the finished runs of a trial; None if there is none."""
        # Sorted: a sum depends on the order, and that of the ends is a matter of chance.
        scores = sorted(run.score for run in self.runs_of(trial) if run.score is not None)
        return sum(scores) / len(scores) if scores else None

    def history(self, before: int) -> Sequence[tuple[dict[str, Any], float]]:
        """Return (settings, mean score) of the trials before one, but for those without a score."""
        history = []
        for trial in range(before):
            score = self.score(trial)
            if score is not None:
                history.append((self.runs_of(trial)[0].settings, score))
        return history
