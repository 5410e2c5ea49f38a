"""The run directory: the one place where a run's truth is written, and the names in it."""

import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.run_store.files import (
    append_json_line,
    is_locked,
    temporary_name,
    write_atomically,
)
from reinforce.configs.config import Config
from reinforce.configs.loading import to_yaml


class RunDirectory:
    """The folder of one run and the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def create(cls, config: Config) -> Self:
        """Make a new folder for this run, holding its resolved configuration.

        Raises:
            RunDirectoryError: It exists already, or cannot be written. Nothing is left behind.
        """
        name = config.run.name or _free_name(config)
        run = cls(config.run.directory / name)
        try:
            run.path.mkdir(parents=True)
            run.plots.mkdir()
            run.checkpoints.mkdir()
            run.write_config(config)  # the last: a folder that holds it is whole
        except FileExistsError:
            raise RunDirectoryError(
                f"run.name = {name!r}: {run.path} exists already; choose another run.name, or "
                "leave it out to have one made"
            ) from None
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write to run.directory = {str(config.run.directory)!r} "
                f"({error.strerror}: {error.filename}); choose another with --run.directory"
            ) from None
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return an existing run directory.

        Raises:
            RunDirectoryError: There is none at this path.
        """
        run = cls(path)
        if not path.exists():
            raise RunDirectoryError(f"{path} does not exist")
        if not run.config_file.is_file():
            raise RunDirectoryError(f"{path} is not a run directory: it holds no config.yaml")
        return run

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration."""
        write_atomically(self.config_file, to_yaml(config).encode())

    def note_start(self, verb: str, from_update: int, changes: dict[str, tuple[Any, Any]]) -> None:
        """Add a line to the history: how the run was started, and with which changed settings."""
        line = {
            "timestamp_ms": time.time_ns() // 1_000_000,
            "verb": verb,
            "from_update": from_update,
            "changes": changes,
        }
        append_json_line(self.history_file, line)

    @property
    def has_begun(self) -> bool:
        """Whether anything was recorded or saved that must not be lost."""
        journal = self.journal_file
        is_recorded = journal.exists() and journal.stat().st_size > 0
        return is_recorded or any(self.checkpoints.glob("*"))

    def clear_what_was_never_whole(self) -> None:
        """Remove what a crash in the middle of ``create`` has left, and nothing else."""
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

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def journal_file(self) -> Path:
        """One line of JSON per update."""
        return self.path / "metrics.jsonl"

    @property
    def control_file(self) -> Path:
        """What was asked of the run while it is going on."""
        return self.path / "control.json"

    @property
    def history_file(self) -> Path:
        """One line of JSON per start of the run."""
        return self.path / "history.jsonl"

    @property
    def summary_file(self) -> Path:
        """How the run ended; absent until it has."""
        return self.path / "summary.json"

    @property
    def tracking_file(self) -> Path:
        """Which MLflow run follows this directory."""
        return self.path / "tracking.json"

    @property
    def tracking_log(self) -> Path:
        """What the tracking process had to say."""
        return self.path / "tracking.log"

    @property
    def system_file(self) -> Path:
        """One line of JSON per sample of the machine's load, written by the tracking process."""
        return self.path / "system.jsonl"

    @property
    def origin_file(self) -> Path:
        """Where the run comes from: command, git commit, versions."""
        return self.path / "origin.json"

    @property
    def plots(self) -> Path:
        """Folder of pictures."""
        return self.path / "plots"

    @property
    def videos(self) -> Path:
        """Folder of films; absent until one was made."""
        return self.path / "videos"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"


def is_followed(run: RunDirectory) -> bool:
    """Return whether a process sends the run to MLflow: it holds a lock on its log."""
    return is_locked(run.tracking_log)


def _free_name(config: Config) -> str:
    environment = config.environment.id.rpartition("/")[2].rpartition(":")[2].lower()
    # To the microsecond, so that runs started together do not meet.
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return f"{environment}-s{config.run.seed}-{now}"
