"""``reinforce diff``: where two runs separate, and possible reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.moments.run_difference import RunDifference, run_difference
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.roles import decides_the_result

_MAX_FIELDS = 5
_MAX_WIDTH = 40


@dataclass(frozen=True, kw_only=True)
class DiffCommand(Command):
    """Compare two runs: settings, versions, and the first update where they differ.

    Uses their journals and plays nothing. The exit code is 1 if an update differs, or if one run
    has more.

    Attributes:
        run: A run directory.
        other: Another one.
    """

    run: RunDir
    other: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]

    def execute(self) -> int:
        found = run_difference(RunDirectory.open(self.run), RunDirectory.open(self.other))
        console = PlainConsole()
        for name, text in _rows(found):
            console.say_rows({name: text})
        return 1 if found.first_difference or found.updates[0] != found.updates[1] else 0


def _rows(found: RunDifference) -> Iterator[tuple[str, str]]:
    for name, pair in found.settings.items():
        # Runs of one group share all that decides but the seed.
        is_decisive = decides_the_result(name) or name == "run.seed"
        without = "" if is_decisive else "  (does not affect the weights)"
        yield "setting", f"{name}: {_pair(pair)}{without}"
    for name, versions in found.versions.items():
        yield "version", f"{name}: {_pair(versions)}"
    one, other = found.updates
    yield "updates", f"{one} and {other}, of which the first {found.num_equal} are equal"
    if found.first_difference is None:
        yield "difference", "none: every update that both have made has the same batch and weights"
        return
    first = found.first_difference
    yield "difference", f"first in update {first.updates}, which has another {first.what}"
    fields = list(first.fields.items())
    for name, pair in fields[:_MAX_FIELDS]:
        yield "", f"{name}: {_pair(pair)}"
    if len(fields) > _MAX_FIELDS:
        yield "", f"and {len(fields) - _MAX_FIELDS} more"


def _pair(pair: tuple[Any, Any]) -> str:
    return " | ".join(_short(str(value)) for value in pair)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"
