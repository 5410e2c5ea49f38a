"""Checkpoints: one safetensors file each, whole or not there, and never unpickled."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cluster.batch_size import BatchSize
from cluster.progress import Progress
from cluster.run_directory import write_atomically
from configs.execution import CheckpointConfig
from learner.digest import arrays_sha256
from learner.learner_state import LearnerState


class CorruptCheckpointError(Exception):
    """A checkpoint file cannot be read, or its content does not match its digest."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stood after an update: enough to go on from there."""

    learner: LearnerState
    progress: Progress


class Checkpoints:
    """The newest checkpoints of a run, in one folder."""

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self._folder = folder
        self._config = config
        self._saved_at_s = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the last one is older than ``checkpoint.every_s``."""
        return time.monotonic() - self._saved_at_s >= self._config.every_s

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and remove the oldest beyond ``checkpoint.keep``."""
        path = self._folder / f"update-{checkpoint.learner.version:09d}.safetensors"
        write_atomically(path, encode(checkpoint))
        self._saved_at_s = time.monotonic()
        for old in sorted(self._folder.glob("update-*.safetensors"))[: -self._config.keep]:
            old.unlink()
        return path


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the content of a checkpoint file."""
    state = checkpoint.learner
    about = json.dumps({"version": state.version, "progress": asdict(checkpoint.progress)})
    return save(state.arrays, {"about": about, "sha256": _digest(about, state.arrays)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Return what a checkpoint file holds.

    Raises:
        CorruptCheckpointError: It is torn, or was altered.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error
    about = metadata.get("about", "")
    if metadata.get("sha256") != _digest(about, arrays):
        raise CorruptCheckpointError(f"{path} does not match its own digest")
    values = json.loads(about)
    progress = {**values["progress"], "batch_size": BatchSize(**values["progress"]["batch_size"])}
    return Checkpoint(LearnerState(values["version"], arrays), Progress(**progress))


def _digest(about: str, arrays: dict[str, NDArray[Any]]) -> str:
    return hashlib.sha256((about + arrays_sha256(arrays)).encode()).hexdigest()
