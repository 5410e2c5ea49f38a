"""What is learned and when it is enough: run, environment, stop and evaluation sections."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from reinforce.configs.section import Role, Section

WrapperConfig = str | dict[str, dict[str, Any]]
"""A name, or a mapping of one name to keyword arguments."""


class RunConfig(Section):
    """Identity of the run."""

    section: ClassVar[str] = "run"
    role: ClassVar[Role] = Role.RECORD

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the run and of its folder: a letter or digit, then up to 99 more, or "
        "'.', '_' and '-'. "
        "None: environment, seed and UTC time.",
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


class EnvironmentConfig(Section):
    """The Gymnasium environment that is played."""

    section: ClassVar[str] = "environment"

    id: str = Field(
        "CartPole-v1",
        min_length=1,
        description="Id in Gymnasium's registry, such as CartPole-v1; 'package:id' imports the "
        "package first. Or 'module:callable': a class or function of yours that makes one.",
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments of the environment, as a YAML mapping.",
    )
    wrappers: tuple[WrapperConfig, ...] = Field(
        (),
        description="Wrappers, the first one innermost: names in gymnasium.wrappers or "
        "'module:Class', alone or with arguments, as a YAML list such as '[ClipAction, "
        "{FrameStackObservation: {stack_size: 4}}]'. Wrapped environments are stepped one by one.",
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
        "target.",
    )


class EvaluationConfig(Section):
    """How good the policy is, measured on episodes that are never learned from."""

    section: ClassVar[str] = "evaluation"

    episodes: int = Field(
        100, ge=5, description="Episodes per evaluation, >= 5; more narrow the 95 % interval."
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
    video: Annotated[bool, Role.SPEED] = Field(
        default=False,
        description="Film one episode of the last and one of the best weights when the run is over "
        "(videos/*.mp4); needs the extra `video`.",
    )
