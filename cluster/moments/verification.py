"""Makes updates of a run again and certifies that batches and weights are those of its journal."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from reinforce.cluster.errors import NotReproducedError, RunDirectoryError, UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.moments.finding import Finding
from reinforce.cluster.moments.reconstruction import Reconstruction, UpdateNotReproducedError
from reinforce.cluster.moments.stored_checks import stored_findings
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.tracking.provenance import processor, read_origin, versions
from reinforce.learner.policies.weights import arrays_sha256


@dataclass(frozen=True)
class Certificate:
    """What was made again of a run, where, and whether it was what the run recorded.

    Attributes:
        run: The run directory.
        updates: Updates that the journal has.
        made_again: (first, last) of those that were made again and came out as recorded, counted
            as the screen does, from 1 on.
        checkpoints: Versions whose checkpoints were compared in every number.
        seed: By which the updates were chosen; None: all were.
        findings: What is not as recorded, the first first; empty: everything is.
        weights_sha256: Digest of the run's last weights, by its journal.
        journal_sha256: Digest of the journal that was verified.
        config_sha256: Digest of the configuration.
        versions: Of Python and of the packages that matter, here.
        processor: Here.
        recorded: Versions and processor that the run noted, as far as it did.
        timestamp_ms: Unix time in milliseconds.
        wall_time_s: Seconds that it took.
    """

    run: str
    updates: int
    made_again: tuple[tuple[int, int], ...]
    checkpoints: tuple[int, ...]
    seed: int | None
    findings: tuple[Finding, ...]
    weights_sha256: str | None
    journal_sha256: str | None
    config_sha256: str | None
    versions: dict[str, str]
    processor: str
    recorded: dict[str, Any]
    timestamp_ms: int
    wall_time_s: float

    @property
    def verified(self) -> bool:
        """Whether everything that was looked at is as recorded."""
        return not self.findings

    @property
    def num_made_again(self) -> int:
        """Updates that were made again and came out as recorded."""
        return sum(last - first + 1 for first, last in self.made_again)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as the file holds them."""
        return {"verified": self.verified, **asdict(self)}

    def text(self) -> str:
        """Return the content of the file."""
        return json.dumps(self.as_json(), indent=2) + "\n"

    def save(self, file: str | Path) -> Path:
        """Write the certificate as JSON and return its path.

        Raises:
            UsageError: It cannot be written.
        """
        path = Path(file)
        try:
            write_json(path, self.as_json())
        except OSError as error:
            raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from None
        return path


def verify(
    past: Reconstruction, num_updates: int | None = 10, seed: int | None = None
) -> Certificate:
    """Hold a run directory against itself, and then updates that are made again against it.

    Args:
        past: The run.
        num_updates: How many, drawn at random, >= 1; those between the nearest checkpoint and one
            of them are made as well. None: all, from the first on, and every checkpoint on the way
            is compared.
        seed: Of the draw, >= 0. None: a new one, which the certificate names.

    Raises:
        UsageError: There is nothing to verify, or it cannot be played here.
        TrainingError: An update cannot be made at all.
    """
    for name, number, least in (("updates", num_updates, 1), ("seed", seed, 0)):
        if number is not None and number < least:
            raise UsageError(f"{name} = {number} must be >= {least}")
    began_s, walk = time.monotonic(), _Walk(past)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    findings = tuple(stored_findings(past)) or walk.findings(_drawn(past, num_updates, seed))
    updates, weights_sha256 = _recorded_end(past)
    origin = read_origin(past.run.origin_file) or {}
    return Certificate(
        run=str(past.run.path),
        updates=updates,
        made_again=tuple(_ranges(past.reproduced)),
        checkpoints=tuple(walk.compared),
        seed=None if num_updates is None else seed,
        findings=findings,
        weights_sha256=weights_sha256,
        journal_sha256=_sha256(past.run.journal_file),
        config_sha256=_sha256(past.run.config_file),
        versions=versions(),
        processor=processor(),
        recorded={name: origin[name] for name in ("versions", "processor") if name in origin},
        timestamp_ms=time.time_ns() // 1_000_000,
        wall_time_s=round(time.monotonic() - began_s, 3),
    )


class _Walk:
    """Makes updates again, from one to the next, and compares checkpoints on the way.

    Attributes:
        compared: Versions whose checkpoints were what was made again.
    """

    def __init__(self, past: Reconstruction) -> None:
        self._past, self._versions = past, past.checkpoints.versions()
        self.compared: list[int] = []

    def findings(self, updates: Sequence[int] | None) -> tuple[Finding, ...]:
        """Make updates again, by their numbers from 0 on and in order; return what differs first.

        Without numbers: all, and nothing is taken from a checkpoint.
        """
        try:
            if updates is None:
                self._advance(self._past.first(), self._past.num_updates)
            else:
                self._visit(updates)
        except UpdateNotReproducedError as error:
            difference = error.difference
            text = difference.in_words("in the journal", "made again")
            return (Finding(difference.part, difference.updates, text),)
        except _CheckpointDiffersError as error:
            return (Finding("checkpoint", error.version, str(error)),)
        return ()

    def _visit(self, updates: Sequence[int]) -> None:
        here: Checkpoint | None = None
        for update in updates:
            first = here.learner.version if here else -1
            if any(first < version <= update for version in self._versions):
                here = self._past.nearest(update) or here
            here = self._advance(here or self._past.first(), update + 1)

    def _advance(self, here: Checkpoint, version: int) -> Checkpoint:
        between = [v for v in self._versions if here.learner.version < v < version]
        for stop in (*between, version):
            here = self._past.advance(here, stop)
            if stop in self._versions:
                self._compare(here)
        return here

    def _compare(self, made: Checkpoint) -> None:
        version = made.learner.version
        try:
            stored = self._past.checkpoints.load(version)
        except FileNotFoundError:  # the run goes on, and has removed it
            return
        made_of, stored_of = _contents(made), _contents(stored)
        names = sorted(made_of.keys() | stored_of.keys())
        differing = [name for name in names if made_of.get(name) != stored_of.get(name)]
        if differing:
            raise _CheckpointDiffersError(version, differing)
        self.compared.append(version)


class _CheckpointDiffersError(NotReproducedError):
    """A checkpoint is not the moment that it stands for."""

    def __init__(self, version: int, names: Sequence[str]) -> None:
        self.version = version
        super().__init__(
            f"the checkpoint after update {version} is not what its updates make: "
            f"{', '.join(names)} differ{'s' * (len(names) == 1)}"
        )


def _contents(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what weights and tickets decide of a checkpoint, by name; arrays as digests."""
    progress, ahead = checkpoint.progress, checkpoint.ahead
    arrays = {name: arrays_sha256({"": x}) for name, x in checkpoint.learner.arrays.items()}
    return {
        **arrays,
        "environment_steps": progress.environment_steps,
        "episodes": progress.episodes,
        "batch_size": progress.batch_size,
        "ahead": (ahead.episodes, ahead.weights.version, ahead.weights.sha256) if ahead else None,
    }


def _drawn(past: Reconstruction, num_updates: int | None, seed: int) -> list[int] | None:
    """Return updates in order, counted from 0; None for all."""
    if not past.entries:
        raise UsageError(f"{past.run.path} has recorded no update: there is nothing to verify")
    if num_updates is None:
        return None
    drawn = np.random.default_rng(seed).permutation(past.num_updates)[:num_updates]
    return sorted(int(update) for update in drawn)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of whole numbers without a gap."""
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda item: item[1] - item[0]):
        members = [number for _, number in group]
        yield members[0], members[-1]


def _recorded_end(past: Reconstruction) -> tuple[int, str | None]:
    """Return how many updates the journal has, and the digest of the last weights."""
    try:
        last = past.entries.get(max(past.entries, default=0))
    except RunDirectoryError:  # it is damaged, which is a finding
        return 0, None
    return (last.updates, last.weights_sha256) if last else (0, None)


def _sha256(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
