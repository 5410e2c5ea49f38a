"""Overrides on the command line: ``--section.field value`` on top of a preset or a file."""

from collections.abc import Sequence
from typing import Any, TypeVar

import tyro
import yaml

from configs.config import Config
from configs.experiment import WrapperConfig
from configs.loading import load_config
from configs.section import ConfigError
from configs.strict_yaml import parse_yaml

Value = TypeVar("Value")

_REGISTRY = tyro.constructors.ConstructorRegistry()


@_REGISTRY.primitive_rule
def _yaml_mapping(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[dict[str, Any]] | None:
    """Free mappings, such as the keyword arguments of an environment, are given as YAML."""
    if type_info.type_origin is not dict:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="YAML",
        instance_from_str=lambda arguments: _parse_mapping(arguments[0]),
        is_instance=lambda instance: isinstance(instance, dict),
        str_from_instance=lambda instance: [yaml.safe_dump(instance, default_flow_style=True)],
    )


@_REGISTRY.primitive_rule
def _yaml_wrappers(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[tuple[WrapperConfig, ...]] | None:
    """Wrappers are given as a YAML list."""
    if type_info.type != tuple[WrapperConfig, ...]:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="YAML",
        instance_from_str=lambda arguments: _parse_list(arguments[0]),
        is_instance=lambda instance: isinstance(instance, tuple),
        str_from_instance=lambda instance: [
            yaml.safe_dump(list(instance), default_flow_style=True)
        ],
    )


@_REGISTRY.primitive_rule
def _yaml_boolean(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[bool] | None:
    """Booleans are given as in YAML: true or false."""
    if type_info.type is not bool:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{true,false}",
        instance_from_str=lambda arguments: _parse_boolean(arguments[0]),
        is_instance=lambda instance: isinstance(instance, bool),
        str_from_instance=lambda instance: [str(instance).lower()],
    )


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


def _parse_mapping(text: str) -> dict[str, Any]:
    return _parse_yaml(text, dict, "is not a YAML mapping such as '{sutton_barto_reward: true}'")


def _parse_list(text: str) -> tuple[Any, ...]:
    return tuple(_parse_yaml(text, list, "is not a YAML list such as '[ClipAction]'"))


def _parse_boolean(text: str) -> bool:
    return _parse_yaml(text, bool, "is neither true nor false")


def _parse_yaml(text: str, kind: type[Value], complaint: str) -> Value:
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, kind):
        # tyro explains a ValueError and lets other errors through
        raise ValueError(f"{text!r} {complaint}")  # noqa: TRY004
    return value
