"""From a preset's name or a YAML file to a configuration, and back to YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError, suggestion

_PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the project, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def preset_summary(name: str) -> str:
    """Return the first comment line of a preset: what it is for, in one sentence."""
    first_line = (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first_line.removeprefix("#").strip()


def load_config(source: str) -> Config:
    """Return the configuration that a preset or a YAML file (``is_path``) describes.

    Keys that are absent keep their defaults; ConfigError if anything else is wrong.
    """
    names = preset_names()
    if is_path(source):
        hint = f"the presets are: {', '.join(names)}"
        text = read_file(Path(source), "the configuration file", hint)
    elif source in names:
        text = (_PRESETS / f"{source}.yaml").read_text(encoding="utf-8")
    else:
        near = suggestion(source, names)
        hint = f"; {near}" if near else "."
        raise ConfigError(
            f"there is no preset {source!r}{hint} The presets are: {', '.join(names)}. A file of "
            "your own is given by its path, such as ./my.yaml, another environment by "
            "--environment.id after a preset"
        )
    example = "a mapping of sections such as 'learner:' with 'learning_rate: 0.01' below it"
    try:
        return Config.model_validate(parse_mapping(text, example))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some settings replaced.

    Raises:
        ConfigError: There is no such setting, or it does not take this value.
    """
    sections = config.model_dump()
    for name, value in overrides.items():
        section, _, field = name.partition(".")
        if not field or section not in sections:
            raise ConfigError(
                f"{name!r} is no setting; name them as 'learner.learning_rate', with one of the "
                f"sections {', '.join(sections)}"
            )
        sections[section] = {**sections[section], field: value}
    return Config.model_validate(sections)


def is_path(source: str) -> bool:
    """Return whether the source of a configuration is the path of a file, not a preset's name."""
    return source.endswith((".yaml", ".yml")) or "/" in source


def to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML that ``load_config`` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_file(path: Path, what: str, hint: str) -> str:
    """Return the text of a file; a ConfigError says what it was to be, and what to do."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {what} {str(path)!r}: {reason}; {hint}") from None


def parse_yaml(text: str) -> Any:
    """Return the values that a YAML text holds, or raise yaml.YAMLError."""
    loader = _StrictLoader(text)
    loader.name = "the text"  # what errors call it
    return loader.get_single_data()


def parse_mapping(text: str, example: str) -> dict[Any, Any]:
    """Return the mapping that a YAML text holds; an empty text is an empty one.

    If it is something else, a ConfigError tells what it should be, such as the example.
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
    """Refuses a key that stands twice in a mapping, where YAML itself takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                text = f"the key {key.value!r} stands twice in a mapping"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=True)  # before a merge could add its keys
