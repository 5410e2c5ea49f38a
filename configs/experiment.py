"""What is learned and when it is enough: run, environment, stop and evaluation sections."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import name_of
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.section import MAX_TEXT, Role, Section

WrapperConfig = str | dict[str, dict[str, Any]]
"""A name, or a mapping of one name to keyword arguments."""

Reduction = Literal["last", "sum", "mean", "min", "max"]
"""How the numbers that the steps of an episode give become one."""

SUCCESS_METRICS = ("is_success", "success")
"""Names in ``info`` by which environments say how an episode ended, the first one the usual one."""

_METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_RESERVED_METRICS = re.compile(
    r"return|episode_length|num|(confirmed|sampled)_.*"
    r"|update|ticket|episode|length|terminated|truncated"
)
"""Their names would be those of other metrics of the journal, or of columns of its episodes."""


MAX_EPISODES = 1_000_000
"""Most episodes that are measured at a time: what each came to is kept in memory."""

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""A name that is the name of a folder, too, and of none but its own."""


class Change(Section):
    """Settings that a run was given on purpose while it trained."""

    section: ClassVar[str] = "run.changes"

    update: int = Field(ge=0, description="Update from which on they hold, >= 0.")
    settings: dict[str, tuple[Any, Any]] = Field(
        description="What each was before and is since, as JSON, by section.field."
    )

    def __str__(self) -> str:
        shown = without_secrets(self.settings)
        settings = (f"{name} {old} -> {new}" for name, (old, new) in shown.items())
        return f"from update {self.update} on {', '.join(settings)}"


class RunConfig(Section):
    """Identity of the run."""

    section: ClassVar[str] = "run"
    role: ClassVar[Role] = Role.RECORD

    name: str | None = Field(
        None,
        pattern=RUN_NAME,
        description="Name of the run and of its folder: up to 100 letters, digits, '.', '_' and "
        "'-', of which the first is a letter or a digit. None: environment, seed and UTC time.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Seed of everything random, integer >= 0. The same seed gives the same weights "
        "for any number of workers.",
    )
    directory: Annotated[Path, Role.SPEED] = Field(
        Path("runs"),
        description="Folder that receives one folder per run; relative to the current directory.",
    )
    start_from: Annotated[str | None, Role.FIXED] = Field(
        None,
        min_length=1,
        description="Weights to begin with: RUN_DIR, RUN_DIR@best or RUN_DIR@UPDATE; the same of a "
        "folder or URL of checkpoints; the folder of an exported bundle; an agent, zoo:NAME; a "
        "model of MLflow such as models:/NAME@champion. Spaces and policy have to be the same. "
        "None: random weights.",
    )
    start_from_optimizer: Annotated[bool, Role.FIXED] = Field(
        default=False,
        description="With start_from, go on with that run's optimizer, scales and baselines, too.",
    )
    start_from_sha256: Annotated[str | None, Role.FIXED] = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the weights of start_from, or of those that `pretrain` made, as 64 "
        "digits of 0-9 and a-f; written by `train` and `pretrain`.",
    )
    changes: Annotated[tuple[Change, ...], Role.FIXED] = Field(
        (),
        description="What was changed on purpose while the run trained, oldest first; written by "
        "`resume --change`.",
    )
    start_from_link: str | None = Field(
        None,
        description="Where MLflow shows the run of start_from; written by `train`.",
    )

    @field_validator("start_from", mode="before")
    @classmethod
    def _names_its_source(cls, start: Any) -> Any:
        """Take the name of what a program has at hand: a path, a run, or a policy without one."""
        return str(start) if isinstance(start, Path) else getattr(start, "source", start)


class EnvironmentConfig(Section):
    """The Gymnasium environment that is played."""

    section: ClassVar[str] = "environment"

    id: Annotated[str, Role.FIXED] = Field(
        "CartPole-v1",
        min_length=1,
        max_length=MAX_TEXT,
        description="Id in Gymnasium's registry, such as CartPole-v1; 'package:id' imports the "
        "package first. Or 'module:callable': a class or function of yours that makes one.",
    )
    kwargs: dict[str, Any] = Field(
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
        description="Length in steps at which an episode is truncated, >= 1. "
        "None: the environment's own limit.",
    )
    use_vector_implementation: bool = Field(
        default=True,
        description="Use the environment's own vectorised implementation where it has one (many "
        "times faster); false: step single environments one by one.",
    )
    info_metrics: Annotated[dict[str, Reduction], Role.RECORD] = Field(
        default_factory=dict,
        max_length=10,
        description="Numbers in the environment's info that become metrics of an episode, at most "
        "10, as a YAML mapping of name to last, sum, mean, min or max over its steps, such as "
        "'{energy: sum, x_position: last}'. is_success and success are always taken, of the last "
        "step.",
    )

    seeded_only: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="For an environment that takes worker_index, num_workers or instance_index: "
        "true says that its episodes depend on their seed alone, for example because it only "
        "chooses a port by them; then no warning withdraws the promise of equal results.",
    )

    @field_validator("info_metrics")
    @classmethod
    def _have_names_of_their_own(cls, metrics: dict[str, Reduction]) -> dict[str, Reduction]:
        for name in metrics:
            if not _METRIC_NAME.fullmatch(name):
                raise ValueError(
                    f"environment.info_metrics: {name!r} cannot name a metric, which is a letter "
                    "or '_', then up to 49 more and digits; give it such a name in info"
                )
            if _RESERVED_METRICS.fullmatch(name):
                raise ValueError(
                    f"environment.info_metrics: {name!r} would be taken for another metric of the "
                    "run; give it another name in info"
                )
        return metrics

    @property
    def metrics(self) -> dict[str, Reduction]:
        """Return what is taken from ``info``: what is asked for, and whether it was a success."""
        return {**dict.fromkeys(SUCCESS_METRICS, "last"), **self.info_metrics}

    def with_changes(self, changes: Mapping[str, Any]) -> "EnvironmentConfig":
        """Return this environment with settings replaced, but ``kwargs`` merged key by key.

        Raises:
            ConfigError: There is no such setting, it does not take this value, or it is one that
                holds for the whole run.
        """
        if "info_metrics" in changes:
            raise ConfigError(
                "environment.info_metrics are the same in training and evaluations: name them all "
                "there; an episode without one is left out of its mean"
            )
        if "seeded_only" in changes:
            raise ConfigError(
                "environment.seeded_only holds for training and evaluations alike: set it in the "
                "section environment"
            )
        changes = _with_name(changes)
        kwargs = changes.get("kwargs", {})
        merged = {**self.kwargs, **kwargs} if isinstance(kwargs, Mapping) else kwargs
        return EnvironmentConfig.model_validate({**self.model_dump(), **changes, "kwargs": merged})


def _with_name(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of an environment in which a class or function is named."""
    made_by = changes.get("id")
    return {**changes, "id": name_of(made_by)} if callable(made_by) else dict(changes)


class StopConfig(Section):
    """When the run ends: the first limit to be reached."""

    section: ClassVar[str] = "stop"
    role: ClassVar[Role] = Role.LIMIT

    max_updates: int = Field(1000, ge=1, description="Updates of the weights, >= 1.")
    max_environment_steps: int | None = Field(
        None,
        ge=1,
        description="Environment steps that were learned from, >= 1; checked after each update. "
        "None: no limit.",
    )
    max_wall_time_s: float | None = Field(
        None,
        gt=0,
        description="Seconds of training, > 0; checked between updates. None: no limit.",
    )
    target_return: float | None = Field(
        None,
        description="Mean return, in the environment's unit, that an evaluation has to reach and a "
        "second one on other seeds to confirm; where that falls short, training goes on. None: no "
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
        description="Metric from the environment's info whose mean, the higher the better, decides "
        "in place of the mean return: when target_return is reached, which checkpoint is the best, "
        "and how a sweep scores; is_success, success, or one of environment.info_metrics. None: "
        "the mean return.",
    )


class EvaluationConfig(Section):
    """How good the policy is, measured on episodes that are never learned from."""

    section: ClassVar[str] = "evaluation"

    episodes: int = Field(
        100,
        ge=5,
        le=MAX_EPISODES,
        description="Episodes per evaluation, 5 to 1,000,000; more of them give a narrower 95 % "
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
        "training. both: the first decides what is best and when the target is reached, and the "
        "regular evaluations play as many sampled episodes besides.",
    )
    max_episode_steps: int | None = Field(
        None,
        ge=1,
        description="Steps after which an episode is cut that is only measured, >= 1; "
        "evaluation/num_cut counts them. None: the environment's own limit, or where none is known "
        "50,000, fewer where observations are so large that a ticket would fill 1 GiB.",
    )
    environment: dict[str, Any] = Field(
        default_factory=dict,
        description="What evaluations, films and `evaluate` play otherwise than training, as a "
        "YAML mapping of settings of the section environment, such as '{kwargs: {gravity: -5.0}}': "
        "kwargs are merged key by key, the rest is replaced. The spaces have to be the same.",
    )
    video: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="Film one episode of the last and one of the best weights when the run is over "
        "(videos/*.mp4); needs the extra `video`.",
    )

    @field_validator("environment")
    @classmethod
    def _is_text(cls, changes: dict[str, Any]) -> dict[str, Any]:
        return _with_name(changes)
