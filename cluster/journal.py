"""The journal: ``metrics.jsonl``, a write-ahead log of every update and every evaluation."""

import errno
import fcntl
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from cluster.backend import Batch
from cluster.errors import RunDirectoryError, StorageError
from cluster.evaluation import Evaluation
from cluster.progress import Progress
from learner.update_report import UpdateReport

_BEGAN_NS = time.time_ns() - time.monotonic_ns()
"""Added to the monotonic clock, it gives Unix time that never jumps while a process lives."""

_LOCK_PATIENCE_S = 1.0
"""Others look for a moment whether the journal is locked."""


@dataclass(frozen=True)
class BatchRecord:
    """The episodes of one update.

    Attributes:
        sha256: Digest of all trajectories in ticket order. Two runs that agree in it have learned
            from the same bits.
        episode_returns: One per episode, undiscounted, in ticket order.
        episode_lengths: One per episode, in steps.
    """

    sha256: str
    episode_returns: list[float]
    episode_lengths: list[int]

    @classmethod
    def of(cls, batch: Batch) -> "BatchRecord":
        """Return the record of a played batch."""
        digests = "".join(report.trajectories_sha256 for report in batch.reports)
        return cls(
            hashlib.sha256(digests.encode()).hexdigest(),
            np.concatenate([report.episode_returns for report in batch.reports]).tolist(),
            np.concatenate([report.episode_lengths for report in batch.reports]).tolist(),
        )


@dataclass(frozen=True)
class Record:
    """One line of the journal: an update, or an evaluation of the weights that it made.

    Attributes:
        updates: Updates applied so far.
        environment_steps: Steps learned from so far: the x-axis of every metric.
        training_time_s: Seconds since the first ticket was issued.
        timestamp_ms: Unix time in milliseconds.
        metrics: Finite numbers by name ``section/name``.
        batch: The episodes that the update learned from; None for an evaluation.
    """

    updates: int
    environment_steps: int
    training_time_s: float
    timestamp_ms: int
    metrics: dict[str, float]
    batch: BatchRecord | None = None

    @classmethod
    def parse(cls, line: str | bytes) -> "Record":
        """Return the record that a line of the journal holds."""
        values: dict[str, Any] = json.loads(line)
        batch = values.pop("batch", None)
        return cls(**values, batch=BatchRecord(**batch) if batch else None)

    def line(self) -> str:
        """Return the record as one line of the journal."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"


class Journal:
    """Appends records; a line is in the hands of the operating system when ``append`` returns.

    It is locked as long as it is open: a run has one driver.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal of a run.

        Raises:
            RunDirectoryError: Another process writes it.
        """
        self._path = path
        self._failure: StorageError | None = None
        self._file = _open_locked(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def cut_back(self, updates: int) -> bool:
        """Remove what was recorded after this many updates, and a torn last line.

        Returns:
            Whether the record of that update is there, so that what is kept has no gap.
        """
        kept, is_there = [], updates == 0
        with self._path.open("rb") as file:
            for line in file if updates else ():
                if not line.endswith(b"\n"):
                    break
                record = Record.parse(line)
                if record.updates > updates:
                    break
                kept.append(line)
                if record.updates == updates and record.batch:
                    is_there = True
                    break
        self._replace_by(b"".join(kept))
        return is_there

    def _replace_by(self, content: bytes) -> None:
        """Put a new file in place of the old one, which a follower may still be reading."""
        temporary = self._path.with_name(self._path.name + ".tmp")
        temporary.write_bytes(content)
        file = _open_locked(temporary)
        temporary.replace(self._path)
        self._file.close()
        self._file = file

    def append(self, record: Record) -> None:
        """Write one record.

        Raises:
            StorageError: The disk does not take it.
        """
        line, end = record.line().encode(), os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
        except OSError as error:
            raise self._cannot_write(error) from error
        if written < len(line):  # the disk filled up in the middle of it
            self._file.truncate(end)
            raise self._cannot_write(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def flush_to_disk(self) -> None:
        """Have the records survive a crash of the machine.

        Raises:
            StorageError: The disk does not take them, or did not take one before.
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
            f"`reinforce resume {self._path.parent}`"
        )
        return self._failure


def _open_locked(path: Path) -> io.FileIO:
    """Open a file for appending, as the only one who does.

    Raises:
        RunDirectoryError: Another process has it open.
    """
    deadline_s = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        file = path.open("ab", buffering=0)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()  # it is locked, or was replaced just now
        if time.monotonic() > deadline_s:
            raise RunDirectoryError(f"{path.parent} is in use: another process trains it")
        time.sleep(0.05)


def is_being_written(path: Path) -> bool:
    """Return whether a process has this journal open for writing: whether the run is going on."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a journal, also of one that is being written."""
    if not path.exists():
        return
    with path.open("rb") as journal:
        for line in journal:
            if not line.endswith(b"\n"):  # being written at this moment
                return
            yield Record.parse(line)


def update_record(
    progress: Progress,
    batch: Batch,
    report: UpdateReport,
    sampling_s: float,
    learning_s: float,
    workers_alive: int,
    checkpoints_failed: int,
) -> Record:
    """Return the record of one update; times are wall clock as the driver saw them."""
    episodes = BatchRecord.of(batch)
    returns, lengths = episodes.episode_returns, episodes.episode_lengths
    metrics = {
        "rollout/return_mean": sum(returns) / len(returns),
        "rollout/return_min": min(returns),
        "rollout/return_max": max(returns),
        "rollout/num_episodes": len(lengths),
        "rollout/episode_length_mean": sum(lengths) / len(lengths),
        "rollout/truncated_fraction": sum(report.num_truncated for report in batch.reports)
        / len(lengths),
        **{f"learner/{name}": value for name, value in report.metrics.items()},
        **{f"tickets/{name}": count for name, count in asdict(progress.tickets).items()},
        "time/sampling_s": sampling_s,
        "time/learning_s": learning_s,
        "time/environment_steps_per_s": sum(lengths) / (sampling_s + learning_s),
        "cluster/workers_alive": workers_alive,
        "cluster/worker_restarts": progress.worker_restarts,
        "cluster/learner_restarts": progress.learner_restarts,
        "checkpoint/failed": checkpoints_failed,
        "progress/updates": progress.updates,
        "progress/episodes": progress.episodes,
        "progress/training_time_s": progress.training_time_s,
    }
    return _record(progress, metrics, episodes)


def evaluation_record(
    progress: Progress, evaluation: Evaluation, best: float, evaluation_s: float
) -> Record:
    """Return the record of an evaluation; ``best`` is the highest mean return so far."""
    metrics = {
        "evaluation/return_mean": evaluation.return_mean,
        "evaluation/return_ci_low": evaluation.return_ci95[0],
        "evaluation/return_ci_high": evaluation.return_ci95[1],
        "evaluation/return_best": best,
        "time/evaluation_s": evaluation_s,
    }
    return _record(progress, metrics, None)


def confirmation_record(progress: Progress, evaluation: Evaluation) -> Record:
    """Return the record of an evaluation on seeds of its own, which ends a run or fails to."""
    low, high = evaluation.return_ci95
    metrics = {
        "evaluation/confirmed_return_mean": evaluation.return_mean,
        "evaluation/confirmed_return_ci_low": low,
        "evaluation/confirmed_return_ci_high": high,
    }
    return _record(progress, metrics, None)


def _record(progress: Progress, metrics: dict[str, float], batch: BatchRecord | None) -> Record:
    return Record(
        updates=progress.updates,
        environment_steps=progress.environment_steps,
        training_time_s=progress.training_time_s,
        timestamp_ms=(_BEGAN_NS + time.monotonic_ns()) // 1_000_000,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        batch=batch,
    )
