"""Arguments of the verbs that are no settings of a run: one dataclass each, read by tyro."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

Arguments = TypeVar("Arguments")

RunDir = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
"""The run directory that a verb is about, its first word."""

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value; absent means no."""


_REGISTRY = tyro.constructors.ConstructorRegistry()


@_REGISTRY.primitive_rule
def _whole_number(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """What is no whole number is refused in plain words, not with the names of Python's types."""
    if type_info.type not in (int, int | None):
        return None
    takes_none = type_info.type is not int

    def value_of(words: list[str]) -> int | None:
        if takes_none and words == ["None"]:
            return None
        try:
            return int(words[0])
        except ValueError:
            rest = ", nor None" if takes_none else ""
            raise ValueError(f"{words[0]!r} is no whole number{rest}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|INT" if takes_none else "INT",
        instance_from_str=value_of,
        is_instance=lambda instance: isinstance(instance, int | None),
        str_from_instance=lambda instance: [str(instance)],
    )


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
    with _REGISTRY:
        return tyro.cli(kind, args=arguments, prog=f"reinforce {verb}")
