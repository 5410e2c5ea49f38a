"""The state of a run, from the files that it writes anyway."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import last_lines, read_json, write_json
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.recent_returns import recent_returns
from reinforce.cluster.run_store.run_directory import RunDirectory, run_around
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.tracebacks import in_a_line
from reinforce.cluster.typed_json import Count, parse_json
from reinforce.configs.quoting import command_line

State = Literal["running", "waiting", "interrupted", "finished", "failed", "killed", "unreadable"]
"""``waiting``: alive but not training, because something is missing or it is paused;
``interrupted``: by a signal or ``reinforce stop``, after a checkpoint; ``killed``: ended without
writing a summary. docs/failures.md explains all."""

_LINE_BYTES = 2**16
"""Bytes to read from the history's end, enough for its last line."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run; None means unknown.

    Attributes:
        name: Name of the run, or of a job on a cluster that has not reported its run.
        state: One of ``State``.
        since_ms: Beginning of this state, or last sign of life if it was killed. Unix time in
            milliseconds.
        note: What it waits for, how it ended, or why its state is unknown, in a line;
            may be empty.
        updates: Updates so far.
        return_mean: Mean return of the newest batch.
        recent_return_mean: Mean return of all episodes of the last ``RECENT_UPDATES`` updates.
        evaluation_return_mean: Mean return of the newest regular evaluation.
        environment_steps_per_s: Steps per second in the newest update.
        workers: Number of live workers at the newest update.
        path: Its run directory, if it is here.
    """

    name: str
    state: State
    since_ms: int | None = None
    note: str = ""
    updates: int | None = None
    return_mean: float | None = None
    recent_return_mean: float | None = None
    evaluation_return_mean: float | None = None
    environment_steps_per_s: float | None = None
    workers: int | None = None
    path: str | None = None

    @property
    def state_in_words(self) -> str:
        """The state of a run that is over, to follow its name."""
        return f"was {self.state}" if self.state in ("interrupted", "killed") else self.state

    @property
    def is_live(self) -> bool:
        """Whether a process trains it."""
        return self.state in ("running", "waiting")


def numbers_of(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of ``RunStatus`` from the metrics of an update."""
    counts = {"updates": "progress/updates", "workers": "cluster/workers_alive"}
    rates = ("rollout/return_mean", "time/environment_steps_per_s")
    return {
        "evaluation_return_mean": metrics.get("evaluation/return_mean"),
        **{field: int(metrics[name]) for field, name in counts.items() if name in metrics},
        **{name.partition("/")[2]: metrics[name] for name in rates if name in metrics},
    }


@dataclass(frozen=True)
class _Start:
    timestamp_ms: Count


@dataclass(frozen=True)
class _Wait:
    what: str
    since_ms: Count


class WaitNotes:
    """Records what a run waits for: among overlapping waits, the first that is not over."""

    def __init__(self, run: RunDirectory) -> None:
        self._file = run.wait_file
        self._waits: dict[object, _Wait] = {}
        self._lock = Lock()

    def note(self, wait: object, what: str) -> None:
        """Note what the run waits for, from any thread.

        Args:
            wait: An object that identifies the wait.
            what: What it waits for; empty at the end of this wait.
        """
        with self._lock:
            if not what:
                self._waits.pop(wait, None)
            elif wait in self._waits:
                self._waits[wait] = replace(self._waits[wait], what=what)
            else:
                self._waits[wait] = _Wait(what, time.time_ns() // 1_000_000)
            self.write()

    @property
    def first(self) -> str:
        """What the run waits for; "" if it does not."""
        with self._lock:
            return next((wait.what for wait in self._waits.values()), "")

    def write(self) -> None:
        """Update the file; without a wait there is none."""
        with suppress(OSError):  # the run is worth more than what is said of it
            if self._waits:
                write_json(self._file, asdict(next(iter(self._waits.values()))))
            else:
                self._file.unlink(missing_ok=True)


def find_runs(folder: Path) -> list[Path]:
    """Return the run directories in a folder or of a sweep, or the folder itself if it is one.

    They are sorted by name. Unreadable folders are included; ``status_of`` says why.

    Raises:
        UsageError: There is no such folder, or it cannot be read.
    """
    try:
        if (folder / "config.yaml").exists():
            return [folder]
        runs = folder / "runs" if is_sweep(folder) else folder
        return [path for path in sorted(runs.iterdir()) if _may_be_run(path)]
    except OSError as error:
        other = run_around(folder)
        raise UsageError(
            f"cannot look for runs in {folder} ({error.strerror}); try "
            + (f"`{command_line('status', other)}`" if other else "another folder")
        ) from None


def is_sweep(folder: Path) -> bool:
    """Return whether a folder is that of a sweep, whose runs are in the folder ``runs`` there."""
    return (folder / "sweep.yaml").is_file() and (folder / "runs").is_dir()


def find_sweeps(folder: Path) -> list[Path]:
    """Return the folders of sweeps in a folder, by name; none if it cannot be read."""
    with suppress(OSError):
        return [path for path in sorted(folder.iterdir()) if is_sweep(path)]
    return []


def _may_be_run(path: Path) -> bool:
    try:
        return (path / "config.yaml").exists()
    except OSError:
        return True


def status_of(path: Path) -> RunStatus:
    """Return the state of the run in a directory, which may come from a stranger."""
    try:
        return _status_of(RunDirectory.open(path))
    except (OSError, UsageError) as error:
        return RunStatus(path.name, "unreadable", note=in_a_line(str(error)), path=str(path))


def _status_of(run: RunDirectory) -> RunStatus:
    is_live = is_being_written(run.journal_file)
    recent = recent_returns(run.journal_file)
    metrics = {"progress/updates": 0, **(recent.newest.metrics if recent.newest else {})}
    state, since_ms, note = _state_of_live(run) if is_live else _state_of_ended(run)
    return RunStatus(
        *(run.name, state, since_ms, in_a_line(note)),
        **{**numbers_of(metrics), "evaluation_return_mean": recent.evaluation},
        recent_return_mean=recent.mean,
        path=str(run.path),
    )


def _state_of_live(run: RunDirectory) -> tuple[State, int | None, str]:
    wait = read_json(run.wait_file, _Wait)
    if wait:
        return "waiting", wait.since_ms, wait.what
    if RunRequests.read(run.control_file).paused:
        return "waiting", _modified_ms(run.control_file), "`reinforce unpause`"
    start = _last_start(run)
    if start is None:
        return "waiting", _modified_ms(run.config_file), "its first start"
    return "running", start.timestamp_ms, ""


def _state_of_ended(run: RunDirectory) -> tuple[State, int | None, str]:
    summary = read_summary(run.summary_file)
    if summary:
        state: State = summary["status"]
        # The state is said already.
        note = str(summary["stop_reason"]).removeprefix(f"{state} ")
        return state, summary["timestamp_ms"], note
    return "killed", _modified_ms(run.journal_file), "`reinforce resume` continues it"


def _last_start(run: RunDirectory) -> _Start | None:
    lines = last_lines(run.history_file, _LINE_BYTES)
    with suppress(ValueError):
        return parse_json(lines[-1], _Start) if lines else None
    return None


def _modified_ms(file: Path) -> int | None:
    with suppress(OSError):
        return file.stat().st_mtime_ns // 1_000_000
    return None
