"""The run directory, the only place for the truth about a run, and the names in it."""

import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import (
    append_json_line,
    is_locked,
    temporary_name,
    write_atomically,
)
from reinforce.cluster.run_store.version_names import place_and_version
from reinforce.configs.config import Config
from reinforce.configs.loading import to_yaml
from reinforce.configs.quoting import command_line


class RunDirectory:
    """The folder of one run and the files in it.

    Attributes:
        path: The folder.
        name: Name of the run.
        config_file: The resolved configuration.
        environment_file: The environment's description for a policy, as data.
        journal_file: One line of JSON per update or evaluation.
        history_file: One line of JSON per start of the run.
        summary_file: How the run ended; absent before.
        control_file: Requests to the live run.
        wait_file: What the run waits for, and since when; absent while it does not.
        origin_file: Origin of the run: command, git commit, versions.
        tracking_file: The MLflow run that follows this directory.
        tracking_log: Messages of the tracking process.
        system_file: One line of JSON per sample of the machine's load, by the tracking process.
        checkpoints: Folder of checkpoints.
        plots: Folder of pictures.
        videos: Folder of films; absent before the first one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = path.absolute()
        self.name = path.name
        self.config_file = path / "config.yaml"
        self.environment_file = path / "environment.json"
        self.journal_file = path / "metrics.jsonl"
        self.history_file = path / "history.jsonl"
        self.summary_file = path / "summary.json"
        self.control_file = path / "control.json"
        self.wait_file = path / "waiting.json"
        self.origin_file = path / "origin.json"
        self.tracking_file = path / "tracking.json"
        self.tracking_log = path / "tracking.log"
        self.system_file = path / "system.jsonl"
        self.checkpoints = path / "checkpoints"
        self.plots = path / "plots"
        self.videos = path / "videos"

    @classmethod
    def create(cls, config: Config) -> Self:
        """Create a new folder for this run, with its resolved configuration.

        Raises:
            RunDirectoryError: It already exists, or cannot be written. Nothing is left behind.
        """
        name = config.run.name or free_name(config)
        run = cls(config.run.directory / name)
        try:
            run.path.parent.mkdir(parents=True, exist_ok=True)
            run.path.mkdir(mode=0o700)  # yours alone, and nobody else can hold its locks
            run.plots.mkdir()
            run.checkpoints.mkdir()
            run.write_config(config)  # the last: a folder that holds it is whole
        except OSError as error:
            if isinstance(error, FileExistsError):
                run.require_free()
            raise RunDirectoryError(
                f"cannot write to run.directory = {str(config.run.directory)!r} "
                f"({error.strerror}: {error.filename}); choose another run.directory"
            ) from None
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run directory.

        Raises:
            RunDirectoryError: There is no run directory at this path.
        """
        run = cls(path)
        run.require_regular_files()
        if not run.config_file.is_file():
            fault = "is not a run directory" if path.exists() else "does not exist"
            raise RunDirectoryError(f"{path} {fault}{_run_meant(path)}")
        return run

    def require_free(self) -> None:
        """Raise RunDirectoryError if there is something already at the place of a new run."""
        if self.path.exists():
            raise RunDirectoryError(
                f"run.name = {self.name!r}: {self.path} exists already; choose another run.name, "
                "or leave it out to have one made; "
                f"`{command_line('resume', self.path)}` continues this run"
            ) from None

    def require_regular_files(self) -> None:
        """Check the files here, so that no pipe, link or folder is used as a file.

        Raises:
            RunDirectoryError: A file or folder is something else, or the directory cannot be read.
        """
        files = (
            *(self.config_file, self.journal_file, self.history_file, self.summary_file),
            *(self.control_file, self.origin_file, self.tracking_file, self.tracking_log),
            *(self.system_file, self.wait_file),
        )
        try:
            for folder in (self.checkpoints, self.plots, self.videos):
                if folder.exists() and not folder.is_dir():
                    raise RunDirectoryError(f"{folder} is not a folder; move it away")
            odd = next((file for file in files if not _is_regular_or_missing(file)), None)
        except OSError as error:
            raise RunDirectoryError(f"cannot read {self.path}: {error.strerror}") from None
        if odd:
            raise RunDirectoryError(
                f"{odd} is not a regular file; put a file in its place, or move it away"
            )

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration."""
        write_atomically(self.config_file, to_yaml(config).encode())

    def note_start(
        self, verb: str, from_update: int, changes: dict[str, tuple[Any, Any]], **more: Any
    ) -> None:
        """Add a line to the history: how the run was started, with which changed settings."""
        line = {
            "timestamp_ms": time.time_ns() // 1_000_000,
            "verb": verb,
            "from_update": from_update,
            "changes": changes,
            **more,
        }
        append_json_line(self.history_file, line)

    def require_inside(self, path: Path) -> Path:
        """Return a path in this directory for reading or writing.

        Raises:
            RunDirectoryError: A symbolic link leads it out of the directory.
        """
        if path.is_symlink() or not path.resolve().is_relative_to(self.path.resolve()):
            raise RunDirectoryError(
                f"{path} is a symbolic link or leads out of the run directory: it is not followed"
            )
        return path

    @property
    def has_begun(self) -> bool:
        """Whether it holds records or checkpoints that must not be lost."""
        journal = self.journal_file
        is_recorded = journal.exists() and journal.stat().st_size > 0
        return is_recorded or any(self.checkpoints.glob("*"))

    def clear_what_was_never_whole(self) -> None:
        """Remove only what a crash in the middle of ``create`` has left."""
        if self.config_file.exists():
            return
        temporary_name(self.config_file).unlink(missing_ok=True)
        for folder in (self.plots, self.checkpoints, self.path):
            with suppress(OSError):  # it is not there, or holds something
                folder.rmdir()

    def discard(self) -> None:
        """Remove the folder of a run that never began, and the folder of runs if it is empty."""
        shutil.rmtree(self.path)
        with suppress(OSError):  # it holds other runs
            self.path.parent.rmdir()


def run_around(path: Path) -> Path | None:
    """Return the run directory that a file or folder is in, as the path names it; None if none."""
    return next((folder for folder in path.parents if is_run(folder)), None)


def is_run(folder: Path) -> bool:
    """Return whether a folder looks like a run directory; others, too, have a config.yaml."""
    with suppress(OSError):  # nobody may look into it
        return all((folder / name).is_file() for name in ("config.yaml", "metrics.jsonl"))
    return False


def _run_meant(path: Path) -> str:
    """Return what is wrong with a path that is no run directory, and which one to give."""
    around = run_around(path)
    if around:
        return f": it is in one, so give {around}"
    place, version = place_and_version(str(path))
    if version and is_run(Path(place)):
        return f": @{version} names a version, but here a whole run is needed, so give {place}"
    inside = next((each for each in (*path.glob("*"), *path.glob("runs/*")) if is_run(each)), None)
    if inside:
        return f": it holds others, so give one, such as {inside}"
    if path.exists():
        return ": it holds no config.yaml" if path.is_dir() else ": a run is a folder"
    near = next(_runs_named_like(path), None)
    return f": did you mean {near}?" if near else ""


def _runs_named_like(path: Path) -> Iterator[Path]:
    """Yield the run of this name in ``runs``, then runs whose names are similar."""
    if is_run(usual := Path("runs") / path):
        yield usual
    for folder in (path.parent, usual.parent):
        runs = {each.name: each for each in folder.glob("*") if is_run(each)}
        yield from (runs[name] for name in get_close_matches(path.name, runs, n=1))


def _is_regular_or_missing(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def is_followed(run: RunDirectory) -> bool:
    """Return whether a process sends the run to MLflow: it holds a lock on its log."""
    return is_locked(run.tracking_log)


def free_name(config: Config) -> str:
    """Return a unique name: environment, seed and UTC time."""
    environment = config.environment.id.rpartition("/")[2].rpartition(":")[2].lower()
    # To the microsecond, so that runs started together do not meet.
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return f"{environment}-s{config.run.seed}-{now}"
