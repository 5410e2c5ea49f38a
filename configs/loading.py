"""From a preset's name or a YAML file to a configuration, and back to YAML."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from configs.config import Config
from configs.section import ConfigError
from configs.strict_yaml import parse_yaml

_PRESETS = resources.files("configs") / "presets"


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
    looks_like_path = source.endswith((".yaml", ".yml")) or "/" in source
    text = _read_file(Path(source)) if looks_like_path else _read_preset(source)
    try:
        values: Any = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{source} holds a {type(values).__name__}, not a mapping of sections such as "
            "'learner:' with 'learning_rate: 0.01' below it"
        )
    try:
        return Config.model_validate(values)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML that ``load_config`` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the configuration file {str(path)!r}: {reason}; "
            f"the presets are: {', '.join(preset_names())}"
        ) from None


def _read_preset(name: str) -> str:
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.7)
        hint = f"did you mean {' or '.join(repr(match) for match in near)}? " if near else ""
        raise ConfigError(
            f"there is no preset {name!r}; {hint}The presets are: {', '.join(names)}. "
            "A file of your own is given by its path, such as ./my.yaml"
        )
    return (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
