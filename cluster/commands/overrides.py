"""Overrides on the command line: ``--section.field value`` on top of a preset or a file."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tyro
import yaml

from configs.config import Config
from configs.experiment import WrapperConfig
from configs.loading import load_config
from configs.section import ConfigError
from configs.strict_yaml import parse_yaml

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
