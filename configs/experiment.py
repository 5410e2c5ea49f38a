"""What is learned and when it is enough: the sections run, environment, stop and evaluation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import PREFIX, name_of
from reinforce.configs.plain_values import as_plain, plain
from reinforce.configs.quoting import shown
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.section import MAX_EPISODES, MAX_TEXT, Role, Section

WrapperConfig = str | dict[str, dict[str, Any]]
"""A name, or a mapping of one name to keyword arguments."""

Reduction = Literal["last", "sum", "mean", "min", "max"]
"""How the numbers of an episode's steps are combined into one."""

SUCCESS_METRICS = ("is_success", "success")
"""Names in ``info`` with which environments report success; the first is the usual one."""

_METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_RESERVED_METRICS = re.compile(
    r"return|episode_length|num|(confirmed|sampled)_.*"
    r"|update|ticket|episode|length|terminated|truncated"
)
"""Names that clash with other metrics in the journal, or with columns of its episodes."""


RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""A name that can also name a folder, and no other folder than its own."""


class Change(Section):
    """A deliberate change of settings during a run."""

    section: ClassVar[str] = "run.changes"

    update: int = Field(ge=0, description="First update with the new values, >= 0.")
    settings: dict[str, tuple[Any, Any]] = Field(
        description="Old and new value of each setting, as JSON, by section.field."
    )

    def __str__(self) -> str:
        shown = without_secrets(self.settings)
        settings = (f"{name} {old} -> {new}" for name, (old, new) in shown.items())
        return f"from update {self.update} on {', '.join(settings)}"


class RunConfig(Section):
    """Name, seed and place of the run."""

    section: ClassVar[str] = "run"
    role: ClassVar[Role] = Role.RECORD

    name: str | None = Field(
        None,
        pattern=RUN_NAME,
        description="Name of the run and of its folder: up to 100 letters, digits, '.', '_' and "
        "'-', beginning with a letter or digit. None: environment, seed and UTC time.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Seed of all random numbers, an integer >= 0. The same seed gives the same "
        "weights for any number of workers.",
    )
    directory: Annotated[Path, Role.SPEED] = Field(
        Path("runs"),
        description="Folder that receives one folder per run; relative to the current directory.",
    )
    pictures: Annotated[bool, Role.SPEED] = Field(
        default=True,
        description="Draw the pictures of the run when it ends, which takes seconds; `reinforce "
        "plot` draws them at any time.",
    )
    start_from: Annotated[str | None, Role.FIXED] = Field(
        None,
        min_length=1,
        description="Initial weights: RUN_DIR, RUN_DIR@best or RUN_DIR@UPDATE; the same for a "
        "folder or URL of checkpoints; the folder of an exported bundle; an agent, zoo:NAME; an "
        "MLflow model such as models:/NAME@champion. Spaces and policy must be the same. None: "
        "random weights.",
    )
    start_from_optimizer: Annotated[bool, Role.FIXED] = Field(
        default=False,
        description="With start_from, also continue with that run's optimizer, scales and "
        "baselines.",
    )
    start_from_sha256: Annotated[str | None, Role.FIXED] = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the weights of start_from, or of those that `pretrain` made, as 64 "
        "digits of 0-9 and a-f; written by `train` and `pretrain`.",
    )
    changes: Annotated[tuple[Change, ...], Role.FIXED] = Field(
        (),
        description="Deliberate changes during the run, oldest first; written by `resume "
        "--change`.",
    )
    start_from_link: str | None = Field(
        None,
        description="Where MLflow shows the run of start_from; written by `train`.",
    )

    @field_validator("directory", mode="before")
    @classmethod
    def _names_a_folder(cls, directory: Any) -> Any:
        """Refuse an empty text, which pathlib takes for the current folder."""
        if directory == "":
            raise ValueError(
                "run.directory = '' is refused: it should be the path of a folder; '.' is the "
                "current one"
            )
        return directory

    @field_validator("start_from", mode="before")
    @classmethod
    def _names_its_source(cls, start: Any) -> Any:
        """Replace a path, a run, or a policy without one by its name."""
        return str(start) if isinstance(start, Path) else getattr(start, "source", start)


class EnvironmentConfig(Section):
    """The Gymnasium environment to play."""

    section: ClassVar[str] = "environment"

    id: Annotated[str, Role.FIXED] = Field(
        "CartPole-v1",
        min_length=1,
        max_length=MAX_TEXT,
        description="Id in Gymnasium's registry, such as CartPole-v1; 'package:id' imports the "
        "package first. Or 'module:callable', your own class or function that makes one.",
    )
    kwargs: Annotated[dict[str, Any], as_plain("environment.kwargs")] = Field(
        default_factory=dict,
        description="Keyword arguments of the environment, as a YAML mapping.",
    )
    wrappers: tuple[WrapperConfig, ...] = Field(
        (),
        description="Wrappers, the first one innermost: names in gymnasium.wrappers, "
        "ActionSubset, FrameDifferences, PointsAsEpisodes or 'module:Class', alone or with "
        "arguments, as a YAML list such as '[ClipAction, {FrameStackObservation: {stack_size: "
        "4}}]'. Wrapped environments are stepped one by one.",
    )
    max_episode_steps: int | None = Field(
        None,
        ge=1,
        description="Steps after which an episode is truncated, >= 1. None: the environment's own "
        "limit.",
    )
    use_vector_implementation: bool = Field(
        default=True,
        description="Use the environment's own vectorised implementation if it has one (many "
        "times faster). false: step single environments one by one.",
    )
    info_metrics: Annotated[dict[str, Reduction], Role.RECORD] = Field(
        default_factory=dict,
        max_length=10,
        description="Numbers in the environment's info to record per episode, at most 10, as a "
        "YAML mapping of name to last, sum, mean, min or max over its steps, such as "
        "'{energy: sum, x_position: last}'. is_success and success of the last step are always "
        "recorded.",
    )

    seeded_only: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="For an environment that takes worker_index, num_workers or instance_index: "
        "true declares that its episodes depend only on their seed, for example because the index "
        "only chooses a port. Then no warning withdraws the promise of equal results.",
    )

    @field_validator("wrappers", mode="before")
    @classmethod
    def _have_names(cls, wrappers: Any) -> Any:
        """Replace classes by their names, which every process can import."""
        return _with_names(wrappers)

    @field_validator("info_metrics")
    @classmethod
    def _have_names_of_their_own(cls, metrics: dict[str, Reduction]) -> dict[str, Reduction]:
        for name in metrics:
            if not _METRIC_NAME.fullmatch(name):
                raise ValueError(
                    f"environment.info_metrics: {name!r} cannot name a metric: a name is a letter "
                    "or '_', followed by up to 49 letters, digits or '_'; give it such a name in "
                    "info"
                )
            if _RESERVED_METRICS.fullmatch(name):
                raise ValueError(
                    f"environment.info_metrics: {name!r} is the name of another metric of the run; "
                    "give it a different name in info"
                )
        return metrics

    @property
    def metrics(self) -> dict[str, Reduction]:
        """Return what is recorded from ``info``: the requested metrics, and success."""
        return {**dict.fromkeys(SUCCESS_METRICS, "last"), **self.info_metrics}

    def with_changes(self, changes: Mapping[str, Any]) -> "EnvironmentConfig":
        """Return this environment with settings replaced and ``kwargs`` merged key by key.

        Raises:
            ConfigError: There is no such setting, it does not take this value, or it applies to the
                whole run.
        """
        if "info_metrics" in changes:
            raise ConfigError(
                "environment.info_metrics apply to training and evaluations alike: list them all "
                "there; an episode without one is left out of its mean"
            )
        if "seeded_only" in changes:
            raise ConfigError(
                "environment.seeded_only applies to training and evaluations alike: set it in the "
                "section environment"
            )
        changes = _with_name(changes)
        kwargs = changes.get("kwargs", {})
        merged = {**self.kwargs, **kwargs} if isinstance(kwargs, Mapping) else kwargs
        return EnvironmentConfig.model_validate({**self.model_dump(), **changes, "kwargs": merged})


def _wrapper_name(wrapper: Any) -> str:
    name = name_of(wrapper)
    if name.startswith(PREFIX):
        raise ValueError(
            f"environment.wrappers: {shown(wrapper)} cannot be imported by others: put it into a "
            "module, which makes it 'module:Class', or wrap in a function that you pass as "
            "environment="
        )
    return name


def _with_names(wrappers: Any) -> Any:
    """Return a list of wrappers with classes replaced by their names."""
    if not isinstance(wrappers, list | tuple):
        return wrappers
    where = "environment.wrappers"
    return [_wrapper_name(each) if callable(each) else plain(each, where) for each in wrappers]


def _with_name(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment's settings, with classes and functions replaced by their names."""
    changes, made_by = dict(changes), changes.get("id")
    if callable(made_by):
        changes["id"] = name_of(made_by)
    if "wrappers" in changes:
        changes["wrappers"] = _with_names(changes["wrappers"])
    return changes


class StopConfig(Section):
    """When the run ends: at the first limit that it reaches."""

    section: ClassVar[str] = "stop"
    role: ClassVar[Role] = Role.LIMIT

    max_updates: int = Field(1000, ge=1, description="Number of updates of the weights, >= 1.")
    max_environment_steps: int | None = Field(
        None,
        ge=1,
        description=(
            "Environment steps used for learning, >= 1; checked after each update. The last batch "
            "is not cut, so a run may exceed this by one batch. None: no limit."
        ),
    )
    max_wall_time_s: float | None = Field(
        None,
        gt=0,
        description="Seconds of training, > 0; checked between updates. None: no limit.",
    )
    target_return: float | None = Field(
        None,
        description="Mean return, in the environment's unit, that an evaluation must reach and a "
        "second one, on other seeds, must confirm; if it does not, training continues. None: no "
        "target. With target_metric: the mean of that metric.",
    )
    patience_evaluations: int | None = Field(
        None,
        ge=1,
        description="Regular evaluations in a row without a new best one, >= 1; needs "
        "evaluation.every_updates. None: no limit.",
    )
    target_metric: Annotated[str | None, Role.FIXED] = Field(
        None,
        description="Metric from the environment's info that replaces the mean return, the higher "
        "the better. Its mean decides when target_return is reached, which checkpoint is best, "
        "and how a sweep scores. is_success, success, or one of environment.info_metrics. None: "
        "the mean return.",
    )


class EvaluationConfig(Section):
    """How good the policy is, measured on episodes that are not used for learning."""

    section: ClassVar[str] = "evaluation"

    episodes: int = Field(
        100,
        ge=5,
        le=MAX_EPISODES,
        description="Episodes per evaluation, 5 to 1,000,000; more episodes give a narrower 95 % "
        "interval.",
    )
    every_updates: int | None = Field(
        10,
        ge=1,
        description="Updates between evaluations on a fixed set of seeds, >= 1. None: only the "
        "final one.",
    )
    greedy: bool | Literal["both"] = Field(
        default=True,
        description="true: take the most probable action. false: sample from the policy as in "
        "training. both: greedy episodes decide what is best and when the target is reached; "
        "regular evaluations play as many sampled episodes, too.",
    )
    max_episode_steps: int | None = Field(
        None,
        ge=1,
        description="Steps after which an evaluation cuts an episode, >= 1; evaluation/num_cut "
        "counts these. None: the environment's own limit; without one 50,000, or fewer if "
        "observations are so large that a ticket would fill 1 GiB.",
    )
    environment: dict[str, Any] = Field(
        default_factory=dict,
        description="How the environment of evaluations, films and `evaluate` differs from that "
        "of training: a YAML mapping of settings of the section environment, such as "
        "'{kwargs: {gravity: -5.0}}'. kwargs are merged key by key, other settings replaced. The "
        "spaces must be the same.",
    )
    video: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="When the run ends, film one episode of the last weights and one of the best "
        "(videos/*.mp4); needs the extra `video`.",
    )

    @field_validator("environment")
    @classmethod
    def _is_text(cls, changes: dict[str, Any]) -> dict[str, Any]:
        changes = _with_name(changes)
        return {name: plain(changes[name], f"evaluation.environment.{name}") for name in changes}
