"""Arguments of verbs: every verb is a dataclass, which tyro parses.

Its fields are positional words, options and, for verbs that take settings of a run, a whole
configuration: ``--section.field value`` on top of a preset, a file or a run directory.
"""

import inspect
import math
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import tyro
import yaml
from pydantic import TypeAdapter
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from reinforce.cluster.errors import UsageError
from reinforce.configs.config import Config
from reinforce.configs.cross_checks import require_used
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import WandbConfig
from reinforce.configs.experiment import Change, Reduction, WrapperConfig
from reinforce.configs.loading import is_path, load_config, parse_yaml
from reinforce.configs.other_environment import without_others_target
from reinforce.configs.synonyms import meaning
from reinforce.configs.whole_numbers import as_whole
from reinforce.workers.misnamed_environment import faults_of_id

RunDir = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
"""The run directory, a verb's first word."""

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value; if absent, it is false."""

TRUST_HELP = "Trust this run: import the code that it names, and use its addresses and folders."
"""Help for ``--trust``, an option of every verb that may refuse to do so."""

Trust = Annotated[Flag, tyro.conf.arg(help=TRUST_HELP)]
"""The option by which a user trusts a run directory."""

CallbackNames = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")]
"""A repeatable option; ``cluster.callbacks.callback_named`` reads the names."""

LogFormat = Annotated[
    Literal["text", "json"],
    tyro.conf.arg(help="json: print one JSON object per line; its `event` says what happened."),
]
"""The format in which a run reports progress."""

Settings = Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
"""Every setting of a run as an option."""


class Command(ABC):
    """A verb with its arguments; a subclass's docstring is the verb's help."""

    @abstractmethod
    def execute(self) -> int:
        """Execute the verb and return the exit code."""


@dataclass(frozen=True, kw_only=True)
class ConfiguredCommand(Command):
    """A verb that takes settings.

    Attributes:
        source: A preset, or the path of a YAML file.
        config: The configuration with the settings that follow.
        words: Those settings, as typed.
    """

    is_new: ClassVar[bool] = True
    needs: ClassVar[str] = (
        "a preset or a YAML file, such as `reinforce {verb} cartpole`; `reinforce presets` lists "
        "the presets"
    )

    source: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PRESET_OR_YAML", help_behavior_hint="(required)"),
    ]
    config: Settings
    words: tyro.conf.Suppress[tyro.conf.Fixed[tuple[str, ...]]] = ()

    @classmethod
    def base(cls, source: str) -> Config:
        """Return the configuration to which the settings are added."""
        return load_config(source, faults_of_id)

    @property
    def said(self) -> list[str]:
        """Names of the settings that follow."""
        options = [word.partition("=")[0].removeprefix("--") for word in self.words]
        return [option.replace("-", "_") for option in options]


@dataclass(frozen=True, kw_only=True)
class CheckedCommand(ConfiguredCommand):
    """A verb that tries the environment before it begins.

    Attributes:
        remarks: Sentences about the settings, to be shown after that.
    """

    remarks: tyro.conf.Suppress[tyro.conf.Fixed[tuple[str, ...]]] = ()


@dataclass(frozen=True, kw_only=True)
class EnvironmentChanges:
    """Changes to the environment of the run's evaluations.

    Attributes:
        id: A different environment with the same spaces.
        kwargs: Keyword arguments to add or replace.
        wrappers: All wrappers, instead of the run's.
        max_episode_steps: Steps after which an episode is truncated, >= 1.
    """

    id: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[WrapperConfig, ...] | None = None
    max_episode_steps: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Return the given settings."""
        return {name: value for name, value in vars(self).items() if value not in (None, {})}


@dataclass(frozen=True, kw_only=True)
class PlayCommand(Command):
    """The policy and the episodes: arguments of all verbs that play with a trained policy.

    Attributes:
        run: A run directory; the run may still be training. With @best or @120 after it, another
            version than the newest: that of the best evaluation, or after update 120.
        seed: Seed of the episodes, >= 0; the same seed gives the same episodes. None: the run's
            seed.
        sampled: Sample actions as in training. Without it, take the most probable ones.
        best: Take the checkpoint of the best evaluation instead of the newest one.
        environment: Changes to the environment of the run's evaluations.
    """

    run: RunDir
    seed: int | None = None
    sampled: Flag = False
    best: Flag = False
    trust: Trust = False
    environment: EnvironmentChanges = EnvironmentChanges()


_REGISTRY = ConstructorRegistry()

_NUMBERS = re.compile(r"\[(\d+(, ?\d+)*)?\]|\d+(,\d+)+")
"""A list of integers in one word, as in YAML."""

_YAML_METAVARS: dict[Any, str] = {
    bool: "{true,false}",
    dict[str, Any]: "YAML",
    dict[str, Reduction]: "YAML",
    tuple[WrapperConfig, ...]: "YAML",
    tuple[Change, ...]: "YAML",
    tuple[WrapperConfig, ...] | None: "YAML",
    WandbConfig | None: "{None}|YAML",
}


@_REGISTRY.primitive_rule
def _as_in_yaml(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Parse booleans, mappings and lists of wrappers as one word of YAML."""
    if info.type not in _YAML_METAVARS:
        return None

    def value_of(words: list[str]) -> Any:
        try:
            return parse_yaml(words[0])
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{words[0]!r} is not valid YAML: {error.problem}") from None

    def words_of(value: Any) -> list[str]:
        plain = TypeAdapter(info.type).dump_python(value, mode="json")
        text: str = yaml.safe_dump(plain, default_flow_style=True, width=math.inf)
        return [text.removesuffix("\n").removesuffix("\n...")]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=_YAML_METAVARS[info.type],
        instance_from_str=value_of,
        is_instance=lambda instance: isinstance(instance, info.type_origin or info.type),
        str_from_instance=words_of,
    )


@_REGISTRY.primitive_rule
def _refused_by_its_section(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Pass invalid values on unchanged: the section of the setting says what it accepts."""
    if tyro.conf.FlagConversionOff not in info.markers:
        return None  # no setting, asked from here, or a part of a setting
    bare = PrimitiveTypeInfo.make(info.type, set())
    usual = ConstructorRegistry.get_primitive_spec(bare)
    if not isinstance(usual, PrimitiveConstructorSpec):
        return None  # a section

    has_any_length = usual.nargs == "*" and get_args(info.type)[-1:] == (...,)

    def value_of(words: list[str]) -> Any:
        if has_any_length and len(words) == 1 and _NUMBERS.fullmatch(words[0]):
            words = [word for word in words[0].strip("[]").split(",") if word]
        with suppress(ValueError):
            if words != [""] and (usual.choices is None or words[0] in usual.choices):
                return usual.instance_from_str(words)
        return words[0] if len(words) == 1 and usual.nargs != "*" else words

    return replace(usual, instance_from_str=value_of, choices=None)


@_REGISTRY.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Refuse anything but numbers in plain words, without Python's type names."""
    if tyro.conf.FlagConversionOff in info.markers or info.type not in (int, int | None):
        return None
    takes_none = info.type is not int

    def value_of(words: list[str]) -> int | None:
        if takes_none and words == ["None"]:
            return None
        try:
            return int(as_whole(words[0]))
        except ValueError:
            rest = " or None" if takes_none else ""
            raise ValueError(f"{words[0]!r} is not an integer{rest}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|INT" if takes_none else "INT",
        instance_from_str=value_of,
        is_instance=lambda instance: isinstance(instance, int | None),
        str_from_instance=lambda instance: [str(instance)],
    )


CHANGED_FIRST = {
    "environment.id": "the environment, such as LunarLander-v3",
    "stop.target_return": "the mean return that ends the run",
    "stop.max_environment_steps": "the most steps to train",
    "learner.learning_rate": "learning rate of the optimizer",
    "learner.episodes_per_update": "episodes per batch",
    "policy.hidden_sizes": "units of each hidden layer, such as 64 64",
    "run.seed": "seed of all random numbers",
    "run.name": "name of the run and of its folder",
    "workers.num_workers": "rollout workers; changes only the speed",
    "cluster.backend": "ray, or inline: everything in this process",
}
"""The settings that are changed most, with their short help."""

Verb = TypeVar("Verb", bound=Command)


def _split(kind: type[ConfiguredCommand], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the verb's own options, anywhere in the words, from words about settings."""
    own_fields = fields(kind)[len(fields(ConfiguredCommand)) :]
    is_flag = {f"--{field.name}": field.type == Flag for field in own_fields}
    own: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        option, has_value, _ = word.partition("=")
        option = f"{option[:2]}{option[2:].replace('-', '_')}"  # as tyro takes it, too
        if option not in is_flag:
            others.append(word)
        elif has_value or is_flag[option]:
            own.append(word)
        else:
            own += [word, *islice(rest, 1)]
    return own, others


def _description(kind: type[Command]) -> str | None:
    """Return the introduction to the help of a verb that trains; None for other verbs."""
    if not issubclass(kind, ConfiguredCommand) or not kind.is_new:
        return None
    about = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0].rstrip()
    rows = (f"  {f'--{name}':<31}{text}" for name, text in CHANGED_FIRST.items())
    return "\n".join([about, "", "The most common settings; all settings follow below:", *rows])


def parse_command(verb: str, kind: type[Verb], words: Sequence[str]) -> Verb:
    """Return the verb with the arguments in the words after it.

    Settings are added to the configuration from the source.

    Raises:
        ConfigError, UsageError: The source is missing or wrong, or a value is refused.
        SystemExit: 0 after ``--help``, 2 after an option that does not exist.
    """
    words, program = list(words), f"reinforce {verb}"
    own: list[str] = []
    first: list[str] = []
    default: Any = None
    if issubclass(kind, ConfiguredCommand):
        asks_for_help = bool(set(words) & {"-h", "--help"})
        source = getattr(kind, "source", None)
        own, words = _split(kind, words)
        if words and not words[0].startswith("-"):
            source = words.pop(0)
            first = [source]  # others may stand behind it
        if words and words[0].startswith("-") and words[0][:2] != "--" and is_path(words[0]):
            raise UsageError(
                f"{words[0]!r} would be an option: write a file whose name begins with '-' as "
                f"./{words[0]}"
            )
        if source is None and not asks_for_help:
            raise UsageError(f"`{program}` needs {kind.needs.format(verb=verb)}")
        base = Config() if source is None else kind.base(source)
        _refuse_synonyms(words)
        default = kind(source=source or "", config=base, words=tuple(words))
        program += "" if asks_for_help else f" {source}"

    def parsed(words: Sequence[str]) -> Verb:
        with _REGISTRY:
            verb: Verb = tyro.cli(
                kind,
                default=default,
                args=[*first, *words, *own],
                prog=program,
                use_underscores=default is not None,
                description=_description(kind),
            )
        return verb

    try:
        command = parsed(words)
    except ConfigError as error:
        raise _all_refused(parsed, words) or error from None
    return _without_others_target(default, command)


def _without_others_target(default: Any, command: Verb) -> Verb:
    """Drop a target that does not hold for the environment of the settings, with a remark."""
    if not isinstance(command, ConfiguredCommand):
        return command
    config, remark = without_others_target(default.config, command.config, command.said)
    require_used(config.policy, config.learner, command.said)
    if remark and isinstance(command, CheckedCommand):
        return replace(command, config=config, remarks=(remark,))
    if remark:
        sys.stderr.write(f"reinforce: {remark}\n")
    return replace(command, config=config)


def _refuse_synonyms(words: Sequence[str]) -> None:
    """Raise UsageError for an option of another library, with ours or why there is none."""
    for word in words:
        option = word.partition("=")[0].removeprefix("--").replace("-", "_")
        meant = meaning(option)
        if word.startswith("--") and meant and meant.setting != option:
            raise UsageError(f"there is no option --{option}; {meant.answer('--')}")


def _all_refused(
    parsed: Callable[[Sequence[str]], Command], words: Sequence[str]
) -> ConfigError | None:
    """Return what is wrong with several settings taken one by one; None if each is valid.

    Sections are validated in turn, so together they would report only the first fault. A setting
    that is refused alone may be valid beside others of the command line, or with one that needs it
    as much.
    """
    settings: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not settings:
            settings.append([])
        settings[-1].append(word)
    if len(settings) == 1:
        return None  # whose fault is known

    def fault(*together: list[str]) -> str:
        try:
            parsed([word for setting in together for word in setting])
        except ConfigError as error:
            return str(error)
        return ""

    refused = [each for each in settings if fault(each)]
    taken = [each for each in settings if each not in refused]
    for size in (1, 2):
        for group in combinations(refused, size):
            if not fault(*taken, *group):
                taken += group
        refused = [each for each in refused if each not in taken]
    faults = [fault(*taken, each) for each in refused]
    return ConfigError(ConfigError("\n".join(faults)).counted()) if faults else None
