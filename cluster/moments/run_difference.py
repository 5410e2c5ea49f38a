"""The difference of two runs: settings, versions, and the first update where they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reinforce.cluster.moments.entry_differences import EntryDifference, entry_difference
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.provenance import read_origin
from reinforce.configs.loading import load_config
from reinforce.configs.roles import differing, flat
from reinforce.configs.secret_names import without_secrets

_OF_EVERY_RUN = ("run.name", "run.directory", "run.start_from_link")
"""Settings that differ between any two runs."""


@dataclass(frozen=True)
class RunDifference:
    """What distinguishes two runs; pairs are (one, other).

    Attributes:
        settings: Settings that differ, by ``section.field``, without secrets.
        versions: Versions of packages, and the processor, as far as both runs recorded them.
        updates: Number of updates of each.
        num_equal: Number of equal updates at the beginning.
        first_difference: What differs in the next one that both have; None if nothing does.
    """

    settings: Mapping[str, tuple[Any, Any]]
    versions: Mapping[str, tuple[str, str]]
    updates: tuple[int, int]
    num_equal: int
    first_difference: EntryDifference | None


def run_difference(one: RunDirectory, other: RunDirectory) -> RunDifference:
    """Compare two runs, without importing anything that they name.

    Raises:
        ConfigError, RunDirectoryError: One of them cannot be read.
    """
    both = one, other
    a, b = (flat(load_config(str(run.config_file)).model_dump(mode="json")) for run in both)
    kept = {name: pair for name, pair in differing(a, b).items() if name not in _OF_EVERY_RUN}
    here, there = (_versions(run) for run in both)
    entries = [
        {entry.updates: entry for entry in read_entries(run.journal_file) if entry.batch}
        for run in both
    ]
    common = sorted(entries[0].keys() & entries[1].keys())
    differences = (entry_difference(entries[0][n], entries[1][n]) for n in common)
    first_difference = next(
        (found for found in differences if found and found.part != "record"), None
    )
    return RunDifference(
        settings=without_secrets(kept),
        versions={
            name: (here[name], there[name])
            for name in here
            if there.get(name, here[name]) != here[name]
        },
        updates=(len(entries[0]), len(entries[1])),
        num_equal=common.index(first_difference.updates) if first_difference else len(common),
        first_difference=first_difference,
    )


def _versions(run: RunDirectory) -> dict[str, str]:
    origin = read_origin(run.origin_file) or {}
    named = {"processor": str(origin["processor"])} if "processor" in origin else {}
    return {**origin.get("versions", {}), **named}
