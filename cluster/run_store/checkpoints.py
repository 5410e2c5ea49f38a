"""The checkpoints of a run: when one is due, which are kept, and which one to continue from."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

from reinforce.cluster.errors import RunDirectoryError, StorageError, UsageError
from reinforce.cluster.files import write_atomically
from reinforce.cluster.run_store.checkpoint import (
    Checkpoint,
    CorruptCheckpointError,
    decode,
    encode,
)
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.run_store.submitted_files import submitted_files
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.configs.config import Config
from reinforce.configs.quoting import command_line, shown
from reinforce.configs.regular_files import IrregularFileError, read_regular_file

PORTABLE_CHECKPOINT = "checkpoint.safetensors"
"""Name of the checkpoint of a policy without its run, in a bundle or an MLflow model."""

_CHUNK_BYTES = 16 * 2**20
"""Bytes to read from a store at a time: some return all at once, which would be held twice."""

_BEST = "best.safetensors"
_NAME = re.compile(r"update-(\d{9,})(\.kept)?\.safetensors")


class CheckpointReader:
    """The checkpoints in a folder or store: the newest, the best, or a version.

    Args:
        location: A path or a URL.
        setting: The setting that names it, for the message.

    Raises:
        UsageError: The location is a URL that cannot be opened here.
    """

    def __init__(self, location: str, setting: str = "checkpoint.directory") -> None:
        self._folder, self._setting = CheckpointFolder(location, setting, mode=0o700), setting

    @property
    def location(self) -> str:
        """Path or URL of the folder."""
        return self._folder.location

    def names(self) -> list[str]:
        """Return the names of all files.

        Raises:
            RunDirectoryError: Their place cannot be read.
        """
        try:
            return self._folder.names()
        except Exception as error:  # each store behind fsspec raises types of its own
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> RunDirectoryError:
        return RunDirectoryError(
            f"cannot read the checkpoints in {self.location}: {type(error).__name__}: {error}; "
            f"check {self._setting}, and the credentials if it is a URL"
        )

    def versions(self) -> list[int]:
        """Return the versions with checkpoints, oldest first; errors as for ``names``."""
        return sorted({version for version, _ in self._files()})

    def _files(self) -> list[tuple[int, str]]:
        """Return (version, name) of each file, oldest version first, those kept for good last."""
        matches = filter(None, map(_NAME.fullmatch, self.names()))
        files = sorted(((int(match[1]), bool(match[2])), match[0]) for match in matches)
        return [(version, name) for (version, _), name in files]

    def newest(self, report: Callable[[str], None]) -> Checkpoint | None:
        """Return the newest intact checkpoint; None if there is no checkpoint at all.

        Args:
            report: Called with a sentence about each one skipped.

        Raises:
            RunDirectoryError: There are checkpoints, but none can be read: starting over would
                destroy them.
        """
        versions = self.versions()
        for version in reversed(versions):
            try:
                return self.load(version)
            except (CorruptCheckpointError, FileNotFoundError) as error:
                report(f"skipping a checkpoint: {error}")
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot read the checkpoints in {self.location}: {error}"
                ) from error
        if versions:
            raise RunDirectoryError(
                f"none of the checkpoints in {self.location} can be read; move them away to start "
                "the run over"
            )
        return None

    def load(self, version: int) -> Checkpoint:
        """Return the checkpoint of a version.

        Raises:
            CorruptCheckpointError: It is torn, or was altered.
            OSError: It cannot be read.
        """
        return self.read(dict(self._files()).get(version, _name(version)))

    def best(self) -> Checkpoint | None:
        """Return the checkpoint with the highest evaluation, or None if none was evaluated yet.

        Raises:
            CorruptCheckpointError: It is torn, or was altered.
            OSError: It cannot be read.
        """
        if _BEST not in self.names():
            return None
        return self.read(_BEST)

    def read(self, name: str) -> Checkpoint:
        """Return the checkpoint in the file of this name; errors as for ``load``."""
        try:
            content = self._folder.read(name)
        except IrregularFileError as error:
            raise CorruptCheckpointError(f"{self.location}/{name}: {error.strerror}") from None
        except FileNotFoundError as error:  # with an address alone, whatever a server answered
            reason = error.__cause__ or error.strerror or "it is not there"
            raise FileNotFoundError(f"{self.location}/{name} cannot be read: {reason}") from error
        except OSError:
            raise
        except Exception as error:  # each store behind fsspec raises types of its own
            raise self._unreadable(error) from error
        return decode(content, f"{self.location}/{name}")


class Checkpoints(CheckpointReader):
    """Checkpoints of a run in one folder: the newest, the best, and some kept for good.

    Raises:
        UsageError: ``checkpoint.directory`` is a URL that cannot be opened here.
    """

    def __init__(self, run: RunDirectory, config: Config) -> None:
        self._run = run
        self._run_config = config.model_dump(mode="json")
        self._config = config.checkpoint
        keep, elsewhere = config.checkpoint.keep, config.checkpoint.directory
        self._num_newest = keep[0] if isinstance(keep, tuple) else keep
        self._updates_between = keep[1] if isinstance(keep, tuple) else None
        super().__init__(
            f"{elsewhere.rstrip('/')}/{run.name}" if elsewhere else str(run.checkpoints)
        )
        self._saved_at_s = time.monotonic()
        self._best: Checkpoint | None = None
        self.num_failed = 0
        """Number of checkpoints that could not be written."""

    def is_due(self, updates: int) -> bool:
        """Return whether a checkpoint is due after this many updates."""
        return self._is_for_good(updates) or (
            time.monotonic() - self._saved_at_s >= self._config.every_s
        )

    def note_best(self, checkpoint: Checkpoint) -> None:
        """Take this one as the best so far; it is written with the next checkpoint."""
        self._best = checkpoint

    def save(self, checkpoint: Checkpoint, *, for_good: bool = False) -> None:
        """Write a checkpoint, and the best one if it is new; remove those beyond ``keep``.

        One kept for good has a special name, so that every later process recognises it.

        Raises:
            StorageError: The place cannot be written. Earlier checkpoints are unchanged.
        """
        self._saved_at_s = time.monotonic()
        try:
            if self._best:
                self._folder.write(_BEST, self._encode(self._best))
                self._best = None
            self._write(checkpoint, for_good=for_good)
            passing = [v for v, name in self._files() if name == _name(v)]
            passing = [v for v in passing if not self._is_for_good(v)]
            for version in passing[: -self._num_newest]:
                self._folder.remove(_name(version))
        except Exception as error:  # each store behind fsspec raises types of its own
            self.num_failed += 1
            raise StorageError(
                f"cannot write a checkpoint to {self.location}: {type(error).__name__}: {error}"
            ) from error

    def forget_best(self) -> None:
        """Remove the best checkpoint, if any, because its measurement no longer counts.

        Raises:
            StorageError: It cannot be removed.
        """
        try:
            if _BEST in self._folder.names():
                self._folder.remove(_BEST)
        except Exception as error:  # each store behind fsspec raises types of its own
            raise StorageError(
                f"cannot remove {self.location}/{_BEST}: {type(error).__name__}: {error}"
            ) from error

    def _write(self, checkpoint: Checkpoint, *, for_good: bool) -> None:
        version, there = checkpoint.learner.version, self._files()
        for later, name in there:
            if later > version:  # of a future that was given up
                self._folder.remove(name)
        names = [name for each, name in there if each == version]
        name = _name(version, kept=for_good or _name(version, kept=True) in names)
        self._folder.write(name, self._encode(checkpoint))
        for other in names:
            if other != name:
                self._folder.remove(other)

    def _encode(self, checkpoint: Checkpoint) -> bytes:
        with suppress(RunDirectoryError):  # there is none yet
            checkpoint = replace(
                checkpoint, environment=read_environment(self._run.environment_file)
            )
        tracking = read_tracking_state(self._run.tracking_file)
        files = submitted_files()
        return encode(replace(checkpoint, config=self._run_config, tracking=tracking, files=files))

    def _is_for_good(self, updates: int) -> bool:
        every = self._updates_between
        return every is not None and updates > 0 and updates % every == 0


def _name(version: int, *, kept: bool = False) -> str:
    return f"update-{version:09d}{'.kept' * kept}.safetensors"


class CheckpointFolder:
    """Files by name. A listed file is complete, or its digest reveals that it is not."""

    def __init__(
        self, location: str, setting: str = "checkpoint.directory", mode: int = 0o777
    ) -> None:
        """Open a folder, which need not exist.

        Args:
            location: A path, or a URL such as ``s3://bucket/folder``.
            setting: The setting that names it, for the message.
            mode: Permissions of a folder that is made on this machine.

        Raises:
            UsageError: fsspec does not know this kind of URL, lacks the package for it, or cannot
                open it.
        """
        self.location, self._mode = location, mode
        try:
            self._files, self._root = fsspec.url_to_fs(location)
        except Exception as error:  # noqa: BLE001  (each store raises types of its own)
            raise UsageError(
                f"{setting} = {shown(location)} cannot be used: {type(error).__name__}: {error}"
            ) from None

    def names(self) -> list[str]:
        """Return the sorted names of its files; none if it does not exist.

        Raises:
            NotADirectoryError: It is a file, which fsspec would list as its own only content.
            Exception: Whatever an unreadable store raises.
        """
        self._files.invalidate_cache()
        try:
            paths: list[str] = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        if paths == [self._root] and self._files.isfile(self._root):
            raise NotADirectoryError(f"{self.location} is a file")
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """Return the content of a file.

        Raises:
            IrregularFileError: It is not a file, is larger than ``max_bytes``, or does not fit into
                memory.
            Exception: Whatever an unreadable store raises.
        """
        path, limit = f"{self._root}/{name}", max_bytes or psutil.virtual_memory().total // 2
        if isinstance(self._files, LocalFileSystem):
            return read_regular_file(Path(path), limit, follow_links=False)
        content = BytesIO()
        with self._files.open(path, "rb") as file:  # whatever the store says of its length
            while content.tell() <= limit:
                chunk = file.read(min(_CHUNK_BYTES, limit + 1 - content.tell()))
                if not chunk:
                    return content.getvalue()  # without a copy
                content.write(chunk)
        raise IrregularFileError(f"it is larger than {limit:,} bytes", Path(path))

    def write(self, name: str, content: bytes) -> None:
        """Write a file: atomically on this machine, elsewhere as the store does it."""
        if isinstance(self._files, LocalFileSystem):
            Path(self._root).mkdir(self._mode, parents=True, exist_ok=True)
            write_atomically(Path(self._root) / name, content)
        else:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._files.rm_file(f"{self._root}/{name}")


def require_same_files(run: RunDirectory, newest: Checkpoint | None) -> None:
    """Raise an error if this is a job with other files than a run's newest checkpoint.

    Raises:
        UsageError: The files differ, or those of the checkpoint are unknown.
    """
    ours = submitted_files()
    if ours and newest and newest.files != ours:
        theirs = f"other files ({newest.files})" if newest.files else "files that are not known"
        raise UsageError(
            f"run.name = {run.name!r}: {run.path} was made with {theirs} than this folder's "
            f"({ours}); for a new run choose another run.name; to continue it anyway, call "
            f"`{command_line('resume', run.path)}` on that machine, from a folder with these files"
        )
