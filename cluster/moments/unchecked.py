"""What a verification cannot check, because it is missing or incomplete in the run directory."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from reinforce.cluster.files import whole_lines
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.run_store.checkpoint import CorruptCheckpointError
from reinforce.cluster.run_store.journal import is_being_written, read_entries
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import open_regular_file


def unchecked(past: Reconstruction) -> Iterator[str]:
    """Yield a sentence about each part of a run that could not be checked.

    Args:
        past: The run, whose journal can be read, and of which all is made again that will be.
    """
    is_live = is_being_written(past.run.journal_file)
    yield from _of_the_journal(past, is_live=is_live)
    yield from _of_the_history(past.run.history_file)
    yield from _of_the_summary(past, is_live=is_live)
    yield from _of_the_checkpoints(past, is_live=is_live)


def _of_the_journal(past: Reconstruction, *, is_live: bool) -> Iterator[str]:
    file = past.run.journal_file
    if not is_live and _is_torn(file):
        yield f"{file.name} ends in half a line, whose record is lost"
    bare = [number for number, entry in past.entries.items() if entry.weights_sha256 is None]
    if bare:
        yield (
            f"{file.name} has no digest of the weights of {counted(len(bare), 'update')}, as of "
            f"{bare[0]}"
        )
    for name, update in past.unmatched.items():
        yield (
            f"{file.name}, update {update} has the metric {shown(name)}, which is not recomputed: "
            "its name was altered, or is that of another version"
        )


def _of_the_history(file: Path) -> Iterator[str]:
    if not file.exists():
        yield f"{file.name} is missing: when and how the run was started is unknown"
        return
    lines = list(whole_lines(file))
    damaged = [number for number, line in enumerate(lines, start=1) if not _is_mapping(line)]
    if _is_torn(file):
        damaged.append(len(lines) + 1)
    for number in damaged:
        yield f"{file.name}, line {number} is damaged: one start of the run is not known"


def _of_the_summary(past: Reconstruction, *, is_live: bool) -> Iterator[str]:
    file, summary = past.run.summary_file, read_summary(past.run.summary_file)
    if summary and summary.get("weights_sha256") is None:
        yield f"{file.name} has no digest of the weights (status: {summary['status']})"
    elif not file.exists():
        reason = (
            ("the run is still training")
            if is_live
            else "the run was killed, or the file was removed"
        )
        yield f"{file.name} is missing: {reason}"


def _of_the_checkpoints(past: Reconstruction, *, is_live: bool) -> Iterator[str]:
    versions, last = past.checkpoints.versions(), past.num_updates
    if not versions:
        yield f"there is no checkpoint in {past.checkpoints.location}"
    elif last not in versions and not is_live and read_summary(past.run.summary_file):
        yield f"the checkpoint after update {last}, the last one, is missing"
    with suppress(CorruptCheckpointError):  # which is a finding
        if _has_a_best(past) and past.checkpoints.best() is None:
            yield "the checkpoint of the best evaluation is missing"


def _has_a_best(past: Reconstruction) -> bool:
    """Return whether there should be a best checkpoint; a deliberate change forgets it."""
    has_one = False
    for entry in read_entries(past.run.journal_file):
        chooses = entry.is_evaluation and any(name.endswith("_best") for name in entry.metrics)
        has_one = not entry.changes and (has_one or chooses)
    return has_one


def _is_mapping(line: bytes) -> bool:
    with suppress(ValueError):
        return bool(parse_json(line, dict[str, Any]))
    return False


def _is_torn(file: Path) -> bool:
    """Return whether a file of lines ends with an incomplete one."""
    if not file.exists() or not file.stat().st_size:
        return False
    with open_regular_file(file, follow_links=False) as content:
        content.seek(-1, os.SEEK_END)
        return content.read(1) != b"\n"
