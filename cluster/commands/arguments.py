"""Arguments of the verbs that are no settings of a run: one dataclass each, read by tyro."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

Arguments = TypeVar("Arguments")

RunDir = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
"""The run directory that a verb is about, its first word."""

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value; absent means no."""


@dataclass(frozen=True)
class PlayArguments:
    """Which policy plays which episodes: the same for all verbs that play with a trained one.

    Attributes:
        run: A run directory; the run may still be going on.
        seed: Seed of the episodes, >= 0; the same seed gives the same episodes. None: that of the
            run.
        sampled: Sample actions as in training. Without it: the most probable ones.
        best: Take the checkpoint of the best evaluation instead of the newest one.
    """

    run: RunDir
    seed: int | None = None
    sampled: Flag = False
    best: Flag = False


def parse_arguments(verb: str, kind: type[Arguments], arguments: Sequence[str]) -> Arguments:
    """Return what the words after a verb say; the docstring of ``kind`` is the help.

    Raises:
        SystemExit: 0 after ``--help``, 2 after anything that ``kind`` does not know.
    """
    return tyro.cli(kind, args=arguments, prog=f"reinforce {verb}")
