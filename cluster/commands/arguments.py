"""Arguments of the verbs that are no settings of a run: one dataclass each, read by tyro."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
import yaml

from reinforce.configs.config import Config
from reinforce.configs.experiment import WrapperConfig
from reinforce.configs.loading import load_config, parse_yaml
from reinforce.configs.section import ConfigError

_REGISTRY = tyro.constructors.ConstructorRegistry()


_YAML_METAVARS: dict[Any, str] = {
    bool: "{true,false}",
    dict[str, Any]: "YAML",
    tuple[WrapperConfig, ...]: "YAML",
}


@_REGISTRY.primitive_rule
def _as_in_yaml(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Booleans, mappings and lists of wrappers are one word of YAML."""
    if type_info.type not in _YAML_METAVARS:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=_YAML_METAVARS[type_info.type],
        instance_from_str=lambda words: _parse_word(words[0]),
        is_instance=lambda instance: isinstance(instance, type_info.type_origin or type_info.type),
        str_from_instance=lambda instance: [_as_word(instance)],
    )


@_REGISTRY.primitive_rule
def _refused_by_its_section(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Words that are no value of a setting go on as they stand: its section says what it takes."""
    if tyro.conf.FlagConversionOff not in type_info.markers:
        return None  # asked from here, or a part of a setting
    bare = tyro.constructors.PrimitiveTypeInfo.make(type_info.type, set())
    usual = tyro.constructors.ConstructorRegistry.get_primitive_spec(bare)
    if not isinstance(usual, tyro.constructors.PrimitiveConstructorSpec):
        return None  # a section

    def value_of(words: list[str]) -> Any:
        is_one = len(words) == 1 and usual.nargs != "*"
        try:
            if usual.choices is None or words[0] in usual.choices:
                return usual.instance_from_str(words)
        except ValueError:
            pass
        return words[0] if is_one else words

    return replace(usual, instance_from_str=value_of, choices=None)


def parse_config(verb: str, arguments: Sequence[str]) -> Config:
    """Return the configuration that ``PRESET_OR_YAML [--section.field value ...]`` describes.

    Raises:
        ConfigError: The source is missing or wrong, or a value is refused.
        SystemExit: 0 after ``--help``, 2 after an option that does not exist.
    """
    arguments = list(arguments)
    asks_for_help = "-h" in arguments or "--help" in arguments
    if arguments and not arguments[0].startswith("-"):
        source = arguments.pop(0)
        default = load_config(source)
    elif asks_for_help:
        source, default = "PRESET_OR_YAML", Config()
    else:
        raise ConfigError(
            f"`reinforce {verb}` needs a preset or a YAML file first, such as "
            f"`reinforce {verb} cartpole`; `reinforce presets` lists the presets"
        )
    return override(default, arguments, f"{verb} {source}")


def override(default: Config, arguments: Sequence[str], command: str) -> Config:
    """Return a configuration with the settings that ``--section.field value ...`` changes.

    Args:
        default: What is changed.
        arguments: Of the command line.
        command: What stands before them, for help and messages.

    Raises:
        ConfigError: A value is refused.
        SystemExit: 0 after ``--help``, 2 after an option that does not exist.
    """
    with _REGISTRY:
        return tyro.cli(
            Config,
            default=default,
            args=list(arguments),
            prog=f"reinforce {command}",
            description=f"Settings of a run; shown are the values that {command} starts from.",
            use_underscores=True,
            config=(tyro.conf.FlagConversionOff,),
        )


def _parse_word(text: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{text!r} is not valid YAML: {error.problem}") from None


def _as_word(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


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
