"""Recomputes updates of a run, and certifies that batches and weights match its journal."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import NotReproducedError, RunDirectoryError, UsageError
from reinforce.cluster.evaluation import Evaluation, evaluation_tickets
from reinforce.cluster.files import whole_lines
from reinforce.cluster.moments.certificate import Certificate, Finding
from reinforce.cluster.moments.reconstruction import Reconstruction, UpdateNotReproducedError
from reinforce.cluster.moments.stored_checks import stored_findings
from reinforce.cluster.moments.ticket_replay import TicketName, play_ticket
from reinforce.cluster.moments.unchecked import unchecked
from reinforce.cluster.processor import processor
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.tracking.provenance import read_origin, versions
from reinforce.configs.loading import to_yaml
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import IrregularFileError
from reinforce.learner.policies.weights import arrays_sha256
from reinforce.workers.tickets import Purpose


def verify(
    past: Reconstruction,
    console: PlainConsole,
    updates: int | str = 10,
    seed: int | None = None,
) -> Certificate:
    """Check a run directory for contradictions, then compare recomputed updates with it.

    Args:
        past: The run.
        console: Shows progress.
        updates: Number of updates, drawn at random, >= 1; those between the nearest checkpoint and
            one of them are recomputed as well. ``all``: every update, every checkpoint, and the
            final evaluation.
        seed: Seed of the draw, >= 0. None: a new one, which the certificate names.

    Raises:
        UsageError: There is nothing to verify, or the environment cannot be played here.
        TrainingError: An update cannot be computed.
    """
    num_updates = _number_of(updates)
    if seed is not None and seed < 0:
        raise UsageError(f"seed = {seed} must be >= 0")
    began_s, walk = time.monotonic(), _Walk(past, console)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    findings = tuple(stored_findings(past)) or walk.findings(_drawn(past, num_updates, seed))
    num_recorded, weights_sha256 = _recorded_end(past)
    origin = read_origin(past.run.origin_file) or {}
    return Certificate(
        run=str(past.run.path),
        updates=num_recorded,
        made_again=tuple(_ranges(past.reproduced)),
        checkpoints=tuple(walk.compared),
        evaluated=walk.is_evaluated,
        seed=None if num_updates is None else seed,
        findings=findings,
        unchecked=_unchecked(past),
        weights_sha256=weights_sha256,
        journal_sha256=_journal_sha256(past.run.journal_file),
        config_sha256=hashlib.sha256(to_yaml(past.config).encode()).hexdigest(),
        versions=versions(),
        processor=processor(),
        recorded={name: origin[name] for name in ("versions", "processor") if name in origin},
        timestamp_ms=time.time_ns() // 1_000_000,
        wall_time_s=round(time.monotonic() - began_s, 3),
    )


def _number_of(updates: int | str) -> int | None:
    """Return the number of updates; None for all.

    Raises:
        UsageError: It is neither.
    """
    if updates == "all":
        return None
    with suppress(ValueError):
        number = int(updates)
        if number >= 1:
            return number
    raise UsageError(f"updates = {shown(updates)} is neither a number >= 1 nor 'all'")


class _Walk:
    """Recomputes updates one after the other, and compares checkpoints on the way.

    Attributes:
        compared: Versions whose checkpoints match.
        is_evaluated: Whether the final evaluation was played again.
    """

    def __init__(self, past: Reconstruction, console: PlainConsole) -> None:
        self._past, self._console = past, console
        self._versions = past.checkpoints.versions()
        self.compared: list[int] = []
        self.is_evaluated = False

    def findings(self, updates: Sequence[int] | None) -> tuple[Finding, ...]:
        """Recompute updates by their numbers from 0, in order; return the first difference.

        Without numbers: all updates, without using checkpoints.
        """
        try:
            if updates is None:
                self._advance(self._past.first(), self._past.num_updates)
                return tuple(self._evaluation_findings())
            self._visit(updates)
        except UpdateNotReproducedError as error:
            difference = error.difference
            text = difference.in_words("in the journal", "recomputed")
            if difference.part == "batch":
                text += ": environment, seed, versions or processor differ"
            return (Finding(difference.part, difference.updates, text),)
        except _CheckpointDiffersError as error:
            return (Finding("checkpoint", error.version, str(error)),)
        return ()

    def _visit(self, updates: Sequence[int]) -> None:
        """Recompute updates, each from the checkpoint before it or from the previous one."""
        stretches: list[tuple[int, int]] = []
        for update in updates:
            nearest = max((v for v in self._versions if v <= update), default=0)
            if stretches and nearest <= stretches[-1][1]:
                nearest, _ = stretches.pop()
            stretches.append((nearest, update + 1))
        for first, last in stretches:
            self._advance(self._past.nearest(first) or self._past.first(), last)

    def _advance(self, here: Checkpoint, version: int) -> None:
        between = [v for v in self._versions if here.learner.version < v < version]
        for stop in (*between, version):
            here = self._past.advance(here, stop)
            if stop in self._versions:
                self._compare(here)

    def _evaluation_findings(self) -> Iterator[Finding]:
        """Play the final evaluation again, if there was one, and yield the differences."""
        last, name = self._past.num_updates, "evaluation/confirmed_return_mean"
        entries = read_entries(self._past.run.journal_file)
        recorded = [entry.metrics.get(name) for entry in entries if entry.updates == last]
        expected = next((mean for mean in reversed(recorded) if mean is not None), None)
        if expected is None:
            return
        tickets = evaluation_tickets(self._past.config, Purpose.CONFIRMATION, last)
        names = [TicketName(Purpose.CONFIRMATION, last, ticket.index) for ticket in tickets]
        played = [play_ticket(self._past, each, self._console) for each in names]
        mean = Evaluation.of_reports([each.report for each in played]).return_mean
        self.is_evaluated = True
        if mean != expected:
            text = f"the final evaluation has a mean return of {expected} in the journal, but of"
            yield Finding("evaluation", last, f"{text} {mean} when its episodes are played again")

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
    """A checkpoint differs from the state that it should hold."""

    def __init__(self, version: int, names: Sequence[str]) -> None:
        self.version = version
        super().__init__(
            f"the checkpoint after update {version} does not follow from its updates: "
            f"{', '.join(names)} differ{'s' * (len(names) == 1)}"
        )


def _contents(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what weights and tickets determine in a checkpoint, by name; arrays as digests."""
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
    """Return the updates in order, counted from 0; None for all."""
    if not past.entries:
        raise UsageError(f"{past.run.path} has no recorded update: there is nothing to verify")
    if num_updates is None:
        return None
    drawn = np.random.default_rng(seed).permutation(past.num_updates)[:num_updates]
    return sorted(int(update) for update in drawn)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each sequence of integers without gaps."""
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda item: item[1] - item[0]):
        members = [number for _, number in group]
        yield members[0], members[-1]


def _recorded_end(past: Reconstruction) -> tuple[int, str | None]:
    """Return the journal's number of updates, and the digest of the last weights."""
    try:
        last = past.entries.get(max(past.entries, default=0))
    except RunDirectoryError:  # it is damaged, which is a finding
        return 0, None
    return (last.updates, last.weights_sha256) if last else (0, None)


def _unchecked(past: Reconstruction) -> tuple[str, ...]:
    """Return what could not be checked; a damaged journal is a finding instead."""
    with suppress(RunDirectoryError):
        return tuple(unchecked(past))
    return ()


def _journal_sha256(file: Path) -> str | None:
    """Return the digest of a journal's lines; None if it is not a journal."""
    digest = hashlib.sha256()
    try:
        for line in whole_lines(file):
            digest.update(line)
    except IrregularFileError:
        return None
    return digest.hexdigest()
