"""From a preset's name or a YAML file to a configuration, and back to YAML."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from reinforce.configs import strict_yaml
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError, suggestion
from reinforce.configs.quoting import shown
from reinforce.configs.regular_files import read_regular_file
from reinforce.configs.synonyms import Meaning, meaning, meaning_of_value

_PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the project, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def preset_summary(name: str) -> str:
    """Return the first comment line of a preset: what it is for, in one sentence."""
    first_line = (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first_line.removeprefix("#").strip()


def load_config(
    source: str, other_faults: Callable[[Mapping[Any, Any]], Iterable[str]] = lambda values: ()
) -> Config:
    """Return the configuration that a preset or a YAML file (``is_path``) describes.

    Keys that are absent keep their defaults.

    Args:
        source: The preset, or the path.
        other_faults: Called with what a file holds, if that is refused; returns what is wrong with
            it besides, so that all is said at once.

    Raises:
        ConfigError: Anything is wrong.
    """
    text = _text_of(source)
    example = "a mapping of sections such as 'learner:' with 'learning_rate: 0.01' below it"
    values: dict[Any, Any] = {}
    try:
        values = parse_mapping(text, example)
        return Config.model_validate(values)
    except ConfigError as error:
        every = ConfigError("\n".join([str(error), *other_faults(values)]))
        raise ConfigError(f"{source}: {every.counted()}") from None


def _text_of(source: str) -> str:
    names = preset_names()
    _refuse_what_is_no_configuration(source)
    if is_path(source):
        presets = f"the presets are: {', '.join(names)}"
        hint = _file_meant(source)
        if not hint and not Path(source).exists():
            hint = _preset_for(source) or _as_environment(source) + presets
        hint = hint or presets
        text = read_file(Path(source), "the configuration file", hint)
        if not text.strip():
            raise ConfigError(f"{source} is empty; '{{}}' in it means all defaults; {hint}")
        return text
    if source in names:
        return (_PRESETS / f"{source}.yaml").read_text(encoding="utf-8")
    kind = meaning_of_value("policy.kind", source)
    near = _file_meant(source) or (f"{kind}." if kind else "")
    near = near or _preset_for(source) or suggestion(source, names)
    hint = f"; {near}" if near else "."
    raise ConfigError(
        f"there is no preset {shown(source)}{hint} The presets are: {', '.join(names)}. Give your "
        "own file by its path, such as ./my.yaml; for another environment, set environment.id on "
        "top of a preset, in Python train(environment=...)"
    )


def _refuse_what_is_no_configuration(source: str) -> None:
    """Raise ConfigError for an agent of the zoo or Python in place of a preset or file."""
    if source.startswith("zoo:"):
        raise ConfigError(
            f"{shown(source)} is a trained agent, not a preset: train on from it with `cartpole "
            f"--run.start_from {source}`, with the preset of its environment"
        )
    is_python = Path(source).suffix == ".py" or re.fullmatch(r"\w[\w.]*:\w+", source)
    if is_python and not Path(source).is_dir():
        module, _, name = source.replace(".py", "").partition(":")
        name = f"{Path(module).name}:{name or 'MyEnvironment'}"
        raise ConfigError(
            f"{shown(source)} is Python, not a preset or a YAML file: give an environment on top "
            f"of a preset, as in `cartpole --environment.id {name}`, or write a YAML file with "
            f'environment: {{id: "{name}"}}'
        )


def _file_meant(source: str) -> str:
    """Return a question for the file that a source may stand for, which is no preset; else ""."""
    files = (Path(f"{source}.yaml"), Path(source, "config.yaml"))
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        is_folder = Path(source).is_dir()
        return f"the folder {source} holds no config.yaml." if is_folder else ""
    return f"did you mean the file {found if is_path(source) else f'./{found}'}?"


def _preset_for(environment_id: str) -> str:
    """Return a question for the presets of an environment; "" if there is none."""
    found = [
        name
        for name in preset_names()
        if f"id: {environment_id}\n".casefold()
        in (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8").casefold()
    ]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else ""


def _as_environment(source: str) -> str:
    """Return how to train on what may be the id of an environment; "" if it looks like a file."""
    if not re.fullmatch(r"\w+/[\w-]+", source):
        return ""
    return f"if it is an environment: `cartpole --environment.id {source}`; "


def with_overrides(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some settings replaced; errors as for ``overlaid``."""
    return overlaid(config.model_dump(), overrides)


def overlaid(sections: Mapping[str, Any], overrides: Mapping[str, Any]) -> Config:
    """Return the configuration of some sections with ``{"section.field": value}`` on top.

    Raises:
        ConfigError: There is no such setting, or it does not take this value.
    """
    merged, faults = dict(sections), []
    for name, value in overrides.items():
        section, _, field = name.partition(".")
        if not field or section not in Config.model_fields:
            faults.append(f"there is no setting {name!r}; {_dotted_form(name, value)}")
            continue
        given = merged.get(section) or {}
        merged[section] = {**given, field: value} if isinstance(given, Mapping) else given
    if faults:
        raise ConfigError("\n".join(faults))
    return Config.model_validate(merged)


def _dotted_form(name: str, value: Any) -> str:
    """Return how to write what a name without section and field, or its value, stands for."""
    if name in Config.model_fields and isinstance(value, Mapping) and value:
        settings = (f'"{name}.{field}": {shown(each)}' for field, each in value.items())
        return f"{name} is a section: give {', '.join(settings)}"
    if meant := setting_meant(name):
        return meant.answer()
    return (
        "write settings as 'learner.learning_rate', with one of the sections "
        f"{', '.join(Config.model_fields)}"
    )


def setting_meant(name: str) -> Meaning | None:
    """Return what a name without a section means: to others, or as a field of just one section."""
    sections = {each: field.annotation for each, field in Config.model_fields.items()}
    found = [each for each, kind in sections.items() if name in getattr(kind, "model_fields", {})]
    return meaning(name) or (Meaning(f"{found[0]}.{name}") if len(found) == 1 else None)


def is_path(source: str) -> bool:
    """Return whether the source of a configuration is the path of a file, not a preset's name."""
    return source.endswith((".yaml", ".yml")) or "/" in source


def to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML that ``load_config`` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_file(path: Path, what: str, hint: str) -> str:
    """Return the text of a file; a ConfigError says what it should be, and what to do."""
    try:
        return read_regular_file(path, strict_yaml.MAX_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {what} {shown(str(path))}: {reason}; {hint}") from None


def parse_yaml(text: str) -> Any:
    """Return the values in a YAML text, or raise yaml.MarkedYAMLError."""
    return strict_yaml.parse(text)


def parse_mapping(text: str, example: str) -> dict[Any, Any]:
    """Return the mapping in a YAML text; an empty text gives an empty one.

    For anything else, a ConfigError shows the example.
    """
    try:
        values = parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        place = f", line {mark.line + 1}" if (mark := error.problem_mark) else ""
        raise ConfigError(f"it is not valid YAML{place}: {error.problem}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"it holds a {type(values).__name__}, not {example}")
    return values
