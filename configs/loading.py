"""From a preset's name or a YAML file to a configuration, and back to YAML."""

from importlib import resources
from pathlib import Path

import yaml

from configs.config import Config
from configs.near_names import near_names
from configs.section import ConfigError
from configs.strict_yaml import parse_mapping

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
        near = near_names(name, names)
        hint = f"; {near}" if near else "."
        raise ConfigError(
            f"there is no preset {name!r}{hint} The presets are: {', '.join(names)}. A file of "
            "your own is given by its path, such as ./my.yaml, another environment by "
            "--environment.id after a preset"
        )
    return (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
