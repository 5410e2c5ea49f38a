"""The summary of a run: how it ended, as ``summary.json`` and as a table for people."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from reinforce.cluster.console import JsonConsole, PlainConsole
from reinforce.cluster.evaluation import Evaluation, in_words
from reinforce.cluster.files import read_json, write_json
from reinforce.cluster.number_format import mean_and_interval
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.typed_json import Count, Finite
from reinforce.configs.experiment import Change
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import command_line
from reinforce.configs.secret_names import without_secrets

PRETRAINED = "pretrained"
"""The stop reason of a pretrained run, which has played nothing."""


class _Evaluation(BaseModel, extra="allow"):
    return_mean: Finite
    return_ci95: tuple[Finite, Finite]
    episodes: Count
    metrics: dict[str, Finite | None] = {}


class _Summary(BaseModel, extra="allow"):
    """Types of the fields read from a summary; a failed run lacks most of them."""

    status: Literal["finished", "interrupted", "failed"]
    stop_reason: str
    timestamp_ms: Count
    updates: Count = 0
    environment_steps: Count = 0
    training_time_s: Finite = 0.0
    weights_sha256: str | None = None
    evaluation: _Evaluation | None = None


def read_summary(file: Path) -> dict[str, Any] | None:
    """Return the summary of a run; None if it is missing or broken."""
    summary = read_json(file, _Summary)
    return summary.model_dump(exclude_unset=True) if summary else None


def has_reached_a_limit(summary: Mapping[str, Any]) -> bool:
    """Return whether the run is complete under its limits; a pretrained run is not."""
    return summary.get("status") == "finished" and summary.get("stop_reason") != PRETRAINED


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        stop_reason: The reached limit of the section ``stop``, or the signal.
        exit_code: 0, or 128 + signal.
        progress: Counters at the end.
        weights_sha256: Digest of the last weights; None if they were lost with Ray.
        evaluation: Final evaluation, on seeds reserved for it; None if the run was interrupted.
        sampled: The same with sampled actions; None unless ``evaluation.greedy`` is ``both`` and a
            regular evaluation came last.
    """

    stop_reason: str
    exit_code: int
    progress: Progress
    weights_sha256: str | None
    evaluation: Evaluation | None = None
    sampled: Evaluation | None = None


def write_summary(
    run: RunDirectory,
    outcome: Outcome,
    wall_time_s: float,
    changes: Sequence[Change] = (),
    start_from: dict[str, str | None] | None = None,
) -> dict[str, Any]:
    """Write the summary of a run that reached a limit or was interrupted, and return it.

    ``start_from`` names the initial weights; None: random ones.
    """
    progress = outcome.progress
    summary = {
        "status": "interrupted" if outcome.exit_code else "finished",
        "stop_reason": outcome.stop_reason,
        "updates": progress.updates,
        "environment_steps": progress.environment_steps,
        "episodes": progress.episodes,
        "wall_time_s": round(wall_time_s, 3),
        "training_time_s": round(progress.training_time_s, 3),
        "timestamp_ms": time.time_ns() // 1_000_000,
        "weights_sha256": outcome.weights_sha256,
        "mlflow_run_id": None,
        "evaluation": outcome.evaluation.as_json() if outcome.evaluation else None,
        **({"sampled": outcome.sampled.as_json()} if outcome.sampled else {}),
        # Dropped: with a batch that nothing will be learned from, since the run is over.
        "tickets": asdict(progress.tickets.closed()),
        **({"start_from": start_from} if start_from else {}),
        "worker_restarts": progress.worker_restarts,
        "learner_restarts": progress.learner_restarts,
        # Without secrets: the file goes to MLflow.
        "changes": [without_secrets(change.model_dump(mode="json")) for change in changes],
        "spilled_bytes": progress.spilled_bytes,
    }
    write_json(run.summary_file, summary)
    return summary


def add_run_id(
    run: RunDirectory, summary: dict[str, Any], mlflow_run_id: str | None
) -> dict[str, Any]:
    """Write the summary again with the id of the MLflow run, which is known only at the end."""
    summary = {**summary, "mlflow_run_id": mlflow_run_id}
    write_json(run.summary_file, summary)
    return summary


def write_failure(run: RunDirectory, error: BaseException, wall_time_s: float) -> None:
    """Write the summary of a failed run, unless it had finished and only a later step failed.

    Such steps are shutting Ray down, and starting to train a finished run further.
    """
    if (read_summary(run.summary_file) or {}).get("status") == "finished":
        return
    write_json(
        run.summary_file,
        {
            "status": "failed",
            "stop_reason": f"{type(error).__name__}: {error}",
            "wall_time_s": round(wall_time_s, 3),
            "timestamp_ms": time.time_ns() // 1_000_000,
        },
    )


def ending_in_words(summary: Mapping[str, Any]) -> str:
    """Return how a run ended: ``finished (max_updates)``, ``interrupted by SIGTERM``."""
    status, reason = str(summary["status"]), str(summary["stop_reason"])
    return reason if reason.startswith(f"{status} ") else f"{status} ({reason})"


def print_summary(console: PlainConsole, run: RunDirectory, summary: dict[str, Any]) -> None:
    """Print the main results."""
    if isinstance(console, JsonConsole):
        console.say_event("summary", {**summary, "run": str(run.path)})
        return
    rows = {"status": ending_in_words(summary)}
    for name in ("evaluation", "sampled"):
        if evaluation := summary.get(name):
            rows[name] = _result(evaluation)
    rows["training"] = (
        f"{counted(summary['environment_steps'], 'step')}, "
        f"{counted(summary['episodes'], 'episode')}, "
        f"{counted(summary['updates'], 'update')} in {summary['training_time_s']:.1f} s"
    )
    rows["weights"] = str(summary["weights_sha256"])
    if "start_from" in summary:
        rows["began with"] = summary["start_from"]["source"]
    rows["run"] = str(run.path)
    if summary["status"] == "interrupted":
        rows["to continue"] = command_line("resume", run.path)
    console.say_rows(rows, whole=("weights", "began with", "run", "to continue"))


def _result(evaluation: dict[str, Any]) -> str:
    """Return an evaluation in words, within 80 columns if there is only a return."""
    result = mean_and_interval(evaluation["return_mean"], *evaluation["return_ci95"])
    how = "greedy" if evaluation["greedy"] else "sampled"
    said = (f"return {result}", in_words(evaluation), f"{evaluation['episodes']} fresh episodes")
    return ", ".join(filter(None, (*said, how)))
