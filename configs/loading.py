"""From a preset's name or a YAML file to a configuration, and back to YAML."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError, suggestion

_PRESETS = resources.files("reinforce.configs") / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the project, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in _PRESETS.iterdir()
        if entry.name.endswith(".yaml")
    )


def preset_summary(name: str) -> str:
    """Return the first comment line of a preset: what it is for, in one sentence."""
    first_line = (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first_line.removeprefix("#").strip()


def load_config(source: str) -> Config:
    """Return the configuration that a preset or a YAML file describes.

    Args:
        source: Name of a preset, or path of a YAML file (recognised by its suffix ``.yaml`` or
            ``.yml``, or by a path separator). Keys that are absent keep their defaults.

    Raises:
        ConfigError: There is no such preset or file, the text is not a YAML mapping, a key is
            unknown, or a value is out of range.
    """
    if is_path(source):
        hint = f"the presets are: {', '.join(preset_names())}"
        text = read_file(Path(source), "the configuration file", hint)
    else:
        text = _read_preset(source)
    example = "a mapping of sections such as 'learner:' with 'learning_rate: 0.01' below it"
    try:
        return Config.model_validate(parse_mapping(text, example))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def is_path(source: str) -> bool:
    """Return whether the source of a configuration is the path of a file, not a preset's name."""
    return source.endswith((".yaml", ".yml")) or "/" in source


def to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML that ``load_config`` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_file(path: Path, what: str, hint: str) -> str:
    """Return the text of a file that the user named.

    Args:
        path: Of the file.
        what: It is to be, for the message.
        hint: What to do if it cannot be read.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {what} {str(path)!r}: {reason}; {hint}") from None


def _read_preset(name: str) -> str:
    names = preset_names()
    if name not in names:
        near = suggestion(name, names)
        hint = f"; {near}" if near else "."
        raise ConfigError(
            f"there is no preset {name!r}{hint} The presets are: {', '.join(names)}. A file of "
            "your own is given by its path, such as ./my.yaml, another environment by "
            "--environment.id after a preset"
        )
    return (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def parse_yaml(text: str) -> Any:
    """Return the values that a YAML text holds.

    Raises:
        yaml.YAMLError: It is not valid, or a key stands twice in a mapping, where YAML itself takes
            the last.
    """
    loader = _StrictLoader(text)
    loader.name = "the text"  # what errors call it
    return loader.get_single_data()


def parse_mapping(text: str, example: str) -> dict[Any, Any]:
    """Return the mapping that the text of a file holds; an empty text is an empty one.

    Args:
        text: The YAML.
        example: What such a file holds, for the message if it holds something else.

    Raises:
        ConfigError: It is not valid, a key stands twice, or it holds something else.
    """
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"it is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"it holds a {type(values).__name__}, not {example}")
    return values


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe reader with another way to read mappings."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            text = f"the key {key.value!r} stands twice in a mapping"
            raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
        seen.add(str(key.value))
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
