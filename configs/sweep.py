"""What a sweep is: which settings are tried, how they are chosen, and with which seeds."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import is_path, load_config, parse_mapping, read_file
from reinforce.configs.other_environment import without_others_target
from reinforce.configs.plurals import counted
from reinforce.configs.quoting import shown
from reinforce.configs.section import Section
from reinforce.configs.synonyms import meaning, setting_suggestion

_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type)
}
_NOT_SWEPT = ("run.name", "run.directory", "run.seed", "stop.target_metric")
"""Names and places, and what the score is: that of one trial would not compare with another's."""

SCORE = "score"
ENVIRONMENT_STEPS = "environment_steps"

_MAX_INTEGER = 2**53
"""Beyond it, a float is not every whole number."""

MAX_RUNS = 10_000
"""Most runs of a sweep: trials times seeds."""


class Range(Section):
    """An interval of numbers."""

    section: ClassVar[str] = "range"

    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    log: bool = Field(default=False, description="Spread evenly over orders of magnitude.")
    integer: bool = Field(default=False, description="Whole numbers only.")

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            rule = "0 < low < high with log" if self.log else "low < high"
            raise ConfigError(f"low = {self.low}, high = {self.high}; it has to be {rule}")
        if self.integer and max(-self.low, self.high) > _MAX_INTEGER:
            raise ConfigError(
                f"low = {self.low}, high = {self.high}; whole numbers go up to {_MAX_INTEGER:,}"
            )
        return self

    def samples(self) -> list[float]:
        """Return both ends and a value between them."""
        between = self.low + (self.high / math.pi - self.low / math.pi)  # the difference overflows
        samples = [self.low, between, self.high]
        return [round(sample) for sample in samples] if self.integer else samples


class Objective(Section):
    """What a sweep looks for."""

    section: ClassVar[str] = "objective"

    metric: str = Field(
        SCORE,
        description="score: the mean return of the last weights on fresh episodes, or the mean of "
        "stop.target_metric. environment_steps: what training took. Or a metric from the "
        "environment's info.",
    )
    direction: Literal["maximize", "minimize"] = Field(
        "maximize", description="Which way is better."
    )


class SweepConfig(Section):
    """A sweep, as its YAML file describes it."""

    section: ClassVar[str] = "sweep"

    base: str = Field(description="Preset, or YAML file relative to that of the sweep.")
    method: Literal["grid", "random", "tpe", "cmaes", "gp"] = Field(
        "grid",
        description="grid: all combinations of choices. random: independent draws. The others "
        "learn from earlier trials. tpe: a tree-structured Parzen estimator. cmaes: CMA-ES, over "
        "the ranges. gp: a Gaussian process, for some tens of trials.",
    )
    trials: int | None = Field(
        None, ge=1, description="Number of trials, >= 1; grid tries all combinations."
    )
    objectives: list[Objective] = Field(
        [Objective()],
        min_length=1,
        description="What to look for, each {metric, direction}: the highest score if nothing is "
        "said; several give a Pareto front.",
    )
    constraints: dict[str, float] = Field(
        default_factory=dict,
        description="Largest allowed value of each metric; trials above it are listed, but do not "
        "count.",
    )
    pruner: Literal["none", "median", "successive_halving"] = Field(
        "none",
        description="Which trials are stopped at a rung. median: those below the median there. "
        "successive_halving: all but one in reduction_factor. none: every trial is trained to its "
        "end.",
    )
    first_rung: int | None = Field(
        None, ge=1, description="Environment steps of the first rung, >= 1; needed for a pruner."
    )
    reduction_factor: int = Field(
        3, ge=2, description="Each rung has so many times the steps of the one before, >= 2."
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(
        [0],
        min_length=1,
        description="Values of run.seed, each once; each trial is one run per seed.",
    )
    sampler_seed: int = Field(0, ge=0, lt=2**31, description="Seed of the draws, >= 0.")
    settings: dict[str, list[Any] | Range] = Field(
        min_length=1,
        description="By section.field: a list of choices, or {low, high, log, integer}.",
    )

    @field_validator("method", mode="before")
    @classmethod
    def _has_its_own_name(cls, method: Any) -> Any:
        return "tpe" if method == "optuna" else method  # as files of version 0.1 have it

    @field_validator("settings", mode="before")
    @classmethod
    def _are_settings_of_a_run(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        try:
            return {name: _tried(str(name), values) for name, values in settings.items()}
        except ConfigError as error:
            raise ConfigError(f"sweep.settings: {error}") from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        ranges = [name for name, values in self.settings.items() if isinstance(values, Range)]
        if self.method == "grid" and (ranges or self.trials):
            what = f"{ranges[0]} is a range" if ranges else f"trials = {self.trials}"
            raise ConfigError(
                f"{what}, but method = 'grid' tries all combinations of choices; use method: random"
            )
        if self.method != "grid" and self.trials is None:
            raise ConfigError(f"method = {self.method!r} needs the number of trials, as trials: 20")
        if self.method == "cmaes" and not ranges:
            raise ConfigError("method = 'cmaes' needs a range; of choices alone use method: tpe")
        self._require_what_the_engine_can_do()
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"sweep.seeds = {shown(self.seeds)}: list each seed once")
        if self.num_trials * len(self.seeds) > MAX_RUNS:
            raise ConfigError(
                f"{counted(self.num_trials, 'trial')} with {counted(len(self.seeds), 'seed')} "
                "each are more than the "
                f"{MAX_RUNS:,} runs that a sweep may have; try fewer choices, or method: random"
            )
        return self

    def _require_what_the_engine_can_do(self) -> None:
        metrics = [objective.metric for objective in self.objectives]
        if len(set(metrics)) < len(metrics):
            raise ConfigError(f"sweep.objectives = {shown(metrics)}: list each metric once")
        if self.method == "cmaes" and (len(metrics) > 1 or self.constraints):
            raise ConfigError(
                "method = 'cmaes' has one objective and no constraints; use method: tpe"
            )
        if self.pruner != "none" and len(metrics) > 1:
            raise ConfigError(
                f"pruner = {self.pruner!r} judges by one objective, and there are {len(metrics)}; "
                "use pruner: none"
            )
        if self.pruner != "none" and ENVIRONMENT_STEPS in metrics:
            raise ConfigError(
                f"pruner = {self.pruner!r} compares trials after equally many environment_steps, "
                "which cannot be the objective; use pruner: none"
            )
        if (self.pruner == "none") != (self.first_rung is None):
            raise ConfigError(
                f"pruner = {self.pruner!r} and first_rung = {self.first_rung} do not go together; "
                "a pruner needs the environment steps of its first rung, as first_rung: 20000"
            )

    def rung(self, index: int) -> int | None:
        """Return the environment steps of a rung, from 0 on; None without a pruner."""
        return self.first_rung and self.first_rung * self.reduction_factor**index

    @property
    def metrics(self) -> list[str]:
        """What is measured of a trial: its objectives, then its constraints."""
        objectives = (objective.metric for objective in self.objectives)
        return list(dict.fromkeys((*objectives, *self.constraints)))

    @property
    def num_trials(self) -> int:
        """The number of trials: of a grid, all combinations of its choices."""
        choices = (values for values in self.settings.values() if not isinstance(values, Range))
        return self.trials or math.prod(map(len, choices))

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield all combinations of choices, by ``section.field``."""
        choices = [values for values in self.settings.values() if isinstance(values, list)]
        for combination in itertools.product(*choices):
            yield dict(zip(self.settings, combination, strict=True))

    def config(self, base: Config, settings: dict[str, Any]) -> Config:
        """Return the base with some settings changed; ConfigError if they do not fit together.

        For another environment the target of the base is dropped (``without_others_target``).
        """
        values = base.model_dump(mode="json")
        for path, value in settings.items():
            section, _, field = path.partition(".")
            values.setdefault(section, {})[field] = value
        return without_others_target(base, Config.model_validate(values), settings)[0]


def load_sweep(path: Path) -> tuple[SweepConfig, Config]:
    """Return the sweep that a YAML file describes, and its base, or raise ConfigError."""
    text = read_file(path, "the sweep", "a sweep is a YAML file; page Tools of the docs shows one")
    example = "a mapping with 'base: cartpole' and 'settings:'"
    try:
        sweep = SweepConfig.model_validate(parse_mapping(text, example))
        base = load_config(str(path.parent / sweep.base) if is_path(sweep.base) else sweep.base)
        _require_measured(sweep, base)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return sweep, base


def _require_measured(sweep: SweepConfig, base: Config) -> None:
    known = [SCORE, ENVIRONMENT_STEPS, *base.environment.metrics]
    for metric in sweep.metrics:
        if metric not in known:
            raise ConfigError(
                f"{shown(metric)} is not measured, only {', '.join(known)}; name it in "
                "environment.info_metrics of the base"
            )


def _tried(name: str, values: Any) -> list[Any] | Range:
    """Return what a sweep tries of one setting, each value one that the setting takes alone."""
    section, _, field = name.partition(".")
    known = _SECTIONS[section].model_fields if section in _SECTIONS else {}
    if name in _NOT_SWEPT or field not in known:
        raise ConfigError(f"{shown(name)} cannot be swept; {_way_out(name)}")
    if isinstance(values, list) and values:
        for value in values:
            _SECTIONS[section].model_validate({field: value})
        return values
    if not isinstance(values, dict | Range):
        raise ConfigError(
            f"{name} = {shown(values)} is neither a list of choices, such as [a, b], nor a range, "
            "such as {low: 0.1, high: 1}"
        )
    try:
        drawn = Range.model_validate(values)
        for value in drawn.samples():
            _SECTIONS[section].model_validate({field: value})
    except ConfigError as error:
        raise ConfigError(f"the range of {name}: {error}") from None
    return drawn


def _way_out(name: str) -> str:
    if meaning(name) == meaning("seed"):
        return "`seeds` lists the seeds"
    names = [
        f"{section}.{field}" for section in _SECTIONS for field in _SECTIONS[section].model_fields
    ]
    others = f"name a section.field of the configuration other than {', '.join(_NOT_SWEPT)}"
    return setting_suggestion(name, names) or others
