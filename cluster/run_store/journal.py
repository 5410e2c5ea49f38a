"""The journal: ``metrics.jsonl``, a write-ahead log of every update and every evaluation."""

import errno
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from reinforce.cluster.backends.backend import Batch
from reinforce.cluster.episode_metrics import episode_metrics, means, num_episodes_with
from reinforce.cluster.errors import RunDirectoryError, StorageError
from reinforce.cluster.evaluation import Evaluation, Evaluations
from reinforce.cluster.files import (
    is_locked,
    open_locked,
    temporary_name,
    whole_lines,
    write_atomically,
)
from reinforce.cluster.long_tickets import LongTicket
from reinforce.cluster.progress import Progress
from reinforce.cluster.typed_json import Count, Finite, parse_json
from reinforce.configs.experiment import Change
from reinforce.configs.quoting import command_line
from reinforce.configs.regular_files import IrregularFileError, open_regular_file
from reinforce.learner.state import UpdateReport

_BEGAN_NS = time.time_ns() - time.monotonic_ns()
"""Added to the monotonic clock, it gives Unix time that never jumps during a process."""

_LOCK_TIMEOUT_S = 1.0
"""Seconds to wait for the lock, which others hold for a moment to check it."""


@dataclass(frozen=True)
class BatchEntry:
    """The episodes of one update.

    Attributes:
        sha256: Digest of all trajectories in ticket order. Two runs with the same digest have
            learned from the same bits.
        episode_returns: One per episode, undiscounted, in ticket order.
        episode_lengths: One per episode, in steps.
        episode_truncated: One per episode, whether a time limit ended it; None in journals of
            version 0.1.
        episode_metrics: By name, values from ``info`` for each episode; None where missing.
        ticket_sha256: Digest of each ticket's trajectories, to check single tickets; None in
            journals of version 0.1.
        episode_log_probs: One per episode, the mean log-probability (nats) of its actions under the
            policy that played it, to four decimals; None in journals of version 0.1.
    """

    sha256: str
    episode_returns: Annotated[list[Finite], Field(min_length=1)]
    episode_lengths: Annotated[list[Count], Field(min_length=1)]
    episode_truncated: list[bool] | None = None
    episode_metrics: dict[str, list[Finite | None]] = field(default_factory=dict)
    ticket_sha256: list[str] | None = None
    episode_log_probs: list[Finite] | None = None

    @classmethod
    def of(cls, batch: Batch) -> "BatchEntry":
        """Return the entry of a played batch."""
        log_probs = np.concatenate([report.episode_log_probs for report in batch.reports])
        digests = [report.trajectories_sha256 for report in batch.reports]
        return cls(
            batch_sha256(digests),
            np.concatenate([report.episode_returns for report in batch.reports]).tolist(),
            np.concatenate([report.episode_lengths for report in batch.reports]).tolist(),
            np.concatenate([report.truncated for report in batch.reports]).tolist(),
            episode_metrics(batch.reports),
            digests,
            np.nan_to_num(log_probs).round(4).tolist(),  # JSON has no infinity
        )


def batch_sha256(ticket_sha256: Sequence[str]) -> str:
    """Return the digest of a batch from those of its tickets, in their order."""
    return hashlib.sha256("".join(ticket_sha256).encode()).hexdigest()


@dataclass(frozen=True)
class JournalEntry:
    """One line of the journal: an update, an evaluation of its weights, or an event.

    Attributes:
        updates: Updates applied so far.
        environment_steps: Training steps so far, the x-axis of every metric.
        training_time_s: Seconds since the first ticket was issued.
        timestamp_ms: Unix time in milliseconds.
        metrics: Finite numbers by name ``section/name``.
        batch: The update's episodes; None for an evaluation.
        changes: Deliberate changes that apply from the next update on: old and new values by
            ``section.field``.
        weights_sha256: Digest of the weights after the update; None for everything else, and in
            journals of version 0.1.
    """

    updates: Count
    environment_steps: Count
    training_time_s: Finite
    timestamp_ms: Count
    metrics: dict[str, Finite]
    batch: BatchEntry | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    weights_sha256: str | None = None

    @property
    def is_evaluation(self) -> bool:
        """Whether it is an evaluation; neither that nor an update is a change or a long ticket."""
        return self.batch is None and any(name.startswith("evaluation/") for name in self.metrics)

    @classmethod
    def parse(cls, line: str | bytes) -> "JournalEntry":
        """Parse a line of the journal, or raise ValueError."""
        return parse_json(line, cls)

    def line(self) -> str:
        """Return the entry as one line of the journal."""
        # vars() and not asdict(), which copies every return of every episode one by one.
        values = {**vars(self), "batch": vars(self.batch) if self.batch else None}
        for name in ("changes", "weights_sha256"):
            if not values[name]:
                del values[name]
        return json.dumps(values, allow_nan=False) + "\n"


def update_entry(
    progress: Progress,
    batch: Batch,
    report: UpdateReport,
    sampling_s: float,
    learning_s: float,
    workers_alive: int,
    checkpoints_failed: int,
) -> JournalEntry:
    """Return the entry of one update, with the driver's wall-clock times."""
    episodes = BatchEntry.of(batch)
    returns, lengths = episodes.episode_returns, episodes.episode_lengths
    said = episodes.episode_metrics
    metrics = {
        "rollout/return_mean": sum(returns) / len(returns),
        "rollout/return_min": min(returns),
        "rollout/return_max": max(returns),
        "rollout/num_episodes": len(lengths),
        "rollout/episode_length_mean": sum(lengths) / len(lengths),
        "rollout/truncated_fraction": sum(episodes.episode_truncated or ()) / len(lengths),
        "rollout/unknown_category_fraction": sum(report.num_unknown for report in batch.reports)
        / sum(lengths),
        **_from_info("rollout/", means(said), num_episodes_with(said)),
        **{f"learner/{name}": value for name, value in report.metrics.items()},
        **{f"tickets/{name}": count for name, count in asdict(progress.tickets).items()},
        "time/sampling_s": sampling_s,
        "time/learning_s": learning_s,
        "time/environment_steps_per_s": sum(lengths) / (sampling_s + learning_s),
        "cluster/workers_alive": workers_alive,
        "cluster/worker_restarts": progress.worker_restarts,
        "cluster/learner_restarts": progress.learner_restarts,
        **({"cluster/spilled_bytes": progress.spilled_bytes} if progress.spilled_bytes else {}),
        "checkpoint/failed": checkpoints_failed,
        "progress/updates": progress.updates,
        "progress/episodes": progress.episodes,
        "progress/environment_steps": progress.environment_steps,
        "progress/training_time_s": progress.training_time_s,
    }
    entry = _entry(progress, metrics, episodes)
    return replace(entry, weights_sha256=report.weights_sha256)


def evaluation_entry(
    progress: Progress, evaluations: Evaluations, target_metric: str | None, evaluation_s: float
) -> JournalEntry:
    """Return the entry of an evaluation, with the best value so far."""
    name = f"evaluation/{target_metric or 'return'}_best"
    metrics = {
        **_evaluation_metrics("", evaluations.deciding),
        **(_evaluation_metrics("sampled_", evaluations.sampled) if evaluations.sampled else {}),
        **({} if progress.best_return is None else {name: progress.best_return}),
        "time/evaluation_s": evaluation_s,
    }
    return _entry(progress, metrics, None)


def confirmation_entry(progress: Progress, evaluation: Evaluation) -> JournalEntry:
    """Return the entry of an evaluation on other seeds, which confirms a target or does not."""
    return _entry(progress, _evaluation_metrics("confirmed_", evaluation), None)


def long_ticket_entry(progress: Progress, long: LongTicket) -> JournalEntry:
    """Return the entry of a long ticket."""
    return _entry(progress, long.metrics, None)


def change_entry(progress: Progress, change: Change) -> JournalEntry:
    """Return the entry of deliberately changed settings."""
    return replace(_entry(progress, {}, None), changes=change.settings)


def _evaluation_metrics(prefix: str, evaluation: Evaluation) -> dict[str, float]:
    low, high = evaluation.return_ci95
    return {
        f"evaluation/{prefix}return_mean": evaluation.return_mean,
        f"evaluation/{prefix}return_ci_low": low,
        f"evaluation/{prefix}return_ci_high": high,
        **({f"evaluation/{prefix}num_cut": evaluation.num_cut} if evaluation.num_cut else {}),
        **_from_info(f"evaluation/{prefix}", evaluation.metrics, evaluation.metric_episodes),
    }


def _from_info(
    prefix: str, metrics: Mapping[str, float], num_episodes: Mapping[str, int]
) -> dict[str, float]:
    """Return the means of metrics, and the number of episodes if some lack one."""
    return {
        **{f"{prefix}{name}_mean": mean for name, mean in metrics.items()},
        **{f"{prefix}{name}_episodes": count for name, count in num_episodes.items()},
    }


def _entry(progress: Progress, metrics: dict[str, float], batch: BatchEntry | None) -> JournalEntry:
    return JournalEntry(
        updates=progress.updates,
        environment_steps=progress.environment_steps,
        training_time_s=progress.training_time_s,
        timestamp_ms=(_BEGAN_NS + time.monotonic_ns()) // 1_000_000,
        metrics={name: float(value) for name, value in metrics.items() if math.isfinite(value)},
        batch=batch,
    )


class Journal:
    """Appends entries; when ``append`` returns, the operating system has the line.

    It is locked while it is open, because a run has one driver.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal of a run.

        Raises:
            RunDirectoryError: Another process is writing it.
        """
        self._path = path
        self._failure: StorageError | None = None
        try:
            self._file = open_locked(path, _LOCK_TIMEOUT_S)
        except BlockingIOError:
            raise RunDirectoryError(f"{path.parent} is in use: another process trains it") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def cut_back(self, updates: int) -> bool:
        """Remove entries after this many updates, and a torn last line.

        Returns:
            Whether the entry of that update exists, so that the rest has no gap.

        Raises:
            RunDirectoryError: A line before it is damaged; nothing was removed.
        """
        end, is_there = self.end_of(updates)
        if end < os.fstat(self._file.fileno()).st_size:
            with open_regular_file(self._path, follow_links=False) as file:
                content = file.read(end)
            self._replace_by(content)
        return is_there

    def end_of(self, updates: int) -> tuple[int, bool]:
        """Return where the entry of an update ends, in bytes, and whether it exists.

        Raises:
            RunDirectoryError: A line before it is damaged.
        """
        end = 0
        for line, entry in _lines_and_entries(self._path) if updates else ():
            if entry.updates > updates:
                break
            end += len(line)
            if entry.updates == updates and entry.batch:
                return end, True
        return end, updates == 0

    def _replace_by(self, content: bytes) -> None:
        """Replace the file, because a follower may still be reading the old one."""
        temporary = temporary_name(self._path)
        try:
            write_atomically(temporary, content)
        except OSError as error:
            raise self._cannot_write(error) from error
        file = open_locked(temporary)
        temporary.replace(self._path)
        self._file.close()
        self._file = file

    def append(self, entry: JournalEntry) -> None:
        """Write one entry.

        Raises:
            StorageError: The disk refuses it.
        """
        line, end = entry.line().encode(), os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
        except OSError as error:
            raise self._cannot_write(error) from error
        if written < len(line):  # the disk filled up in the middle of it
            self._file.truncate(end)
            raise self._cannot_write(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def flush_to_disk(self) -> None:
        """Make the entries survive a crash of the machine.

        Raises:
            StorageError: The disk refuses them, or refused one before.
        """
        if self._failure:
            raise self._failure
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> StorageError:
        self._failure = StorageError(
            f"cannot write to {self._path}: {error.strerror}; make room and "
            f"`{command_line('resume', self._path.parent)}`"
        )
        return self._failure


def is_being_written(path: Path) -> bool:
    """Return whether a process has this journal open for writing, so that the run is live."""
    return is_locked(path)


def read_entries(path: Path) -> Iterator[JournalEntry]:
    """Yield the entries of a journal, even while it is being written.

    Raises:
        RunDirectoryError: A line is damaged, or it is not a regular file.
    """
    return (entry for _, entry in _lines_and_entries(path))


def _lines_and_entries(path: Path) -> Iterator[tuple[bytes, JournalEntry]]:
    number = 0
    try:
        for number, line in enumerate(whole_lines(path), start=1):  # noqa: B007  (said below)
            yield line, JournalEntry.parse(line)
    except ValueError as error:
        raise RunDirectoryError(
            f"{path}, line {number} is damaged ({error}); restore the file, or remove that line to "
            "continue without it"
        ) from None
    except IrregularFileError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from None
