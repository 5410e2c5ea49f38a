"""How the words after a verb become its arguments: every verb is a dataclass, read by tyro.

Its fields are positional words, options and, for verbs that take settings of a run, a whole
configuration: ``--section.field value`` on top of a preset, a file or a run directory.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tyro
import yaml
from pydantic import TypeAdapter
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from reinforce.cluster.errors import UsageError
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import WandbConfig
from reinforce.configs.experiment import Change, Reduction, WrapperConfig
from reinforce.configs.loading import is_path, load_config, parse_yaml
from reinforce.configs.roles import flat
from reinforce.configs.synonyms import setting_meant
from reinforce.workers.misnamed_environment import faults_of_id

RunDir = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
"""The run directory that a verb is about, its first word."""

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value; absent means no."""

TRUST_HELP = "Trust this run: import the code and use the addresses and folders that it names."
"""Help of ``--trust``, which every verb has that would otherwise refuse to do so."""

Trust = Annotated[Flag, tyro.conf.arg(help=TRUST_HELP)]
"""The user vouches for a run directory."""

CallbackNames = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")]
"""An option that may be repeated; ``cluster.callbacks.callback_named`` reads the names."""

LogFormat = Annotated[
    Literal["text", "json"],
    tyro.conf.arg(help="json: print objects of JSON, one a line, with what happens as `event`."),
]
"""How a run says how far it is."""

Settings = Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
"""Every setting of a run as an option of its own."""


class Command(ABC):
    """A verb with its arguments; the docstring of a subclass is the verb's help."""

    @abstractmethod
    def execute(self) -> int:
        """Do it and return the exit code."""


@dataclass(frozen=True, kw_only=True)
class ConfiguredCommand(Command):
    """A verb that takes settings.

    Attributes:
        source: A preset, or the path of a YAML file.
        config: What the settings after it make of it.
        words: Those settings, as they were typed.
    """

    is_new: ClassVar[bool] = True
    needs: ClassVar[str] = (
        "a preset or a YAML file first, such as `reinforce {verb} cartpole`; `reinforce presets` "
        "lists the presets"
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
        """Return the configuration that the settings are laid over."""
        return load_config(source, faults_of_id)


@dataclass(frozen=True, kw_only=True)
class EnvironmentChanges:
    """What is played otherwise than in the evaluations of the run.

    Attributes:
        id: Another environment with the same spaces.
        kwargs: Keyword arguments that are added or replaced.
        wrappers: All wrappers, in place of those that there are.
        max_episode_steps: Length in steps at which an episode is truncated, >= 1.
    """

    id: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrappers: tuple[WrapperConfig, ...] | None = None
    max_episode_steps: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Return the settings that were given."""
        return {name: value for name, value in vars(self).items() if value not in (None, {})}


@dataclass(frozen=True, kw_only=True)
class PlayCommand(Command):
    """Which policy plays which episodes: the same for all verbs that play with a trained one.

    Attributes:
        run: A run directory; the run may still be going on.
        seed: Seed of the episodes, >= 0; the same seed gives the same episodes. None: that of the
            run.
        sampled: Sample actions as in training. Without it: the most probable ones.
        best: Take the checkpoint of the best evaluation instead of the newest one.
        environment: What is played otherwise than in the run's evaluations.
    """

    run: RunDir
    seed: int | None = None
    sampled: Flag = False
    best: Flag = False
    trust: Trust = False
    environment: EnvironmentChanges = EnvironmentChanges()


_REGISTRY = ConstructorRegistry()

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
    """Booleans, mappings and lists of wrappers are one word of YAML."""
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
    """Words that are no value of a setting go on as they stand: its section says what it takes."""
    if tyro.conf.FlagConversionOff not in info.markers:
        return None  # no setting, asked from here, or a part of a setting
    bare = PrimitiveTypeInfo.make(info.type, set())
    usual = ConstructorRegistry.get_primitive_spec(bare)
    if not isinstance(usual, PrimitiveConstructorSpec):
        return None  # a section

    def value_of(words: list[str]) -> Any:
        with suppress(ValueError):
            if usual.choices is None or words[0] in usual.choices:
                return usual.instance_from_str(words)
        return words[0] if len(words) == 1 and usual.nargs != "*" else words

    return replace(usual, instance_from_str=value_of, choices=None)


@_REGISTRY.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Refuse other things than numbers in plain words, not with the names of Python's types."""
    if tyro.conf.FlagConversionOff in info.markers or info.type not in (int, int | None):
        return None
    takes_none = info.type is not int

    def value_of(words: list[str]) -> int | None:
        if takes_none and words == ["None"]:
            return None
        try:
            return int(words[0])
        except ValueError:
            rest = " or None" if takes_none else ""
            raise ValueError(f"{words[0]!r} is not a whole number{rest}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|INT" if takes_none else "INT",
        instance_from_str=value_of,
        is_instance=lambda instance: isinstance(instance, int | None),
        str_from_instance=lambda instance: [str(instance)],
    )


CHANGED_FIRST = {
    "environment.id": "what is played, such as LunarLander-v3",
    "stop.target_return": "the mean return at which the run ends",
    "stop.max_environment_steps": "the steps after which it ends at the latest",
    "learner.learning_rate": "step size of the optimizer",
    "learner.episodes_per_update": "episodes of a batch",
    "policy.hidden_sizes": "units of each hidden layer, such as 64 64",
    "run.seed": "seed of everything random",
    "run.name": "name of the run and of its folder",
    "workers.num_workers": "rollout workers; changes only the speed",
    "cluster.backend": "ray, or inline: all in this process",
}
"""The settings that most people change, and what help says of them first."""

Verb = TypeVar("Verb", bound=Command)


def _split(kind: type[ConfiguredCommand], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options of the verb's own, wherever they stand, and the words about settings."""
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
    """Return what help says of a verb that begins runs, before it lists all settings; else None."""
    if not issubclass(kind, ConfiguredCommand) or not kind.is_new:
        return None
    about = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0]
    rows = (f"  {f'--{name}':<31}{text}" for name, text in CHANGED_FIRST.items())
    return "\n".join([f"{about}Settings that are changed first; all of them follow below:", *rows])


def parse_command(verb: str, kind: type[Verb], words: Sequence[str]) -> Verb:
    """Return what the words after a verb say.

    Settings are laid over what their source alone makes.

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
        return parsed(words)
    except ConfigError as error:
        raise _all_refused(parsed, words) or error from None


def _refuse_synonyms(words: Sequence[str]) -> None:
    """Raise UsageError for an option by which another library calls a setting of ours."""
    known = flat(Config().model_dump())
    for word in words:
        option = word.partition("=")[0].removeprefix("--").replace("-", "_")
        if word.startswith("--") and option not in known and (meant := setting_meant(option)):
            raise UsageError(f"there is no option --{option}; did you mean --{meant}?")


def _all_refused(
    parsed: Callable[[Sequence[str]], Command], words: Sequence[str]
) -> ConfigError | None:
    """Return what is wrong with the settings that are refused alone; None if all are taken so.

    Sections are made one after the other, so together they fail at the first. One that only the
    source's own settings forbid may be allowed by others of the line.
    """
    settings: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not settings:
            settings.append([])
        settings[-1].append(word)
    taken: list[str] = []
    for company in ([], taken):
        faults, refused = [], []
        for setting in settings:
            try:
                parsed([*company, *setting])
                taken += setting
            except ConfigError as error:
                faults.append(str(error))
                refused.append(setting)
        settings = refused
    return ConfigError(ConfigError("\n".join(faults)).counted()) if faults else None
