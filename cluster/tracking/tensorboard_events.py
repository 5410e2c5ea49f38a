"""TensorBoard: a run's metrics as event files, in the folder ``tensorboard`` of its directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory


class TensorBoardEvents:
    """Writes one more event file, if those of earlier processes lack something.

    Raises:
        RunDirectoryError: A link stands in the place of the folder.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.require_inside(run.path / "tensorboard")
        self._held = _latest_steps(self._folder)
        self._writer: EventFileWriter | None = None

    def log(self, entry: JournalEntry) -> None:
        """Write the points of an entry; one that float32 cannot hold becomes infinite."""
        step, time_s = entry.environment_steps, entry.timestamp_ms / 1000
        missing = {n: v for n, v in entry.metrics.items() if step > self._held.get(n, -1)}
        if not missing:
            return
        self._writer = self._writer or EventFileWriter(str(self._folder))
        # The older of TensorBoard's two forms, as PyTorch's writer has it: scripts read that.
        with np.errstate(over="ignore"):
            values = [
                Summary.Value(tag=name, simple_value=np.float32(value))
                for name, value in missing.items()
            ]
        summary = Summary(value=values)
        self._writer.add_event(Event(step=step, wall_time=time_s, summary=summary))
        self._held |= dict.fromkeys(missing, step)
        self._writer.flush()

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()


def _latest_steps(folder: Path) -> dict[str, int]:
    """Return the last step that is there of each metric; a torn last event counts as missing."""
    held: dict[str, int] = {}
    for file in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                held[value.tag] = max(held.get(value.tag, -1), event.step)
    return held
