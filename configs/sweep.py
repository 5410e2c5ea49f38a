"""What a sweep is: which settings are tried, how they are chosen, and with which seeds."""

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError, suggestion
from reinforce.configs.loading import is_path, load_config, parse_mapping, read_file
from reinforce.configs.quoting import shown
from reinforce.configs.section import Section

_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type)
}
_NOT_SWEPT = ("run.name", "run.directory", "run.seed", "stop.target_metric")
"""Names and places, and what the score is: that of one trial would not compare with another's."""

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
                f"low = {self.low}, high = {self.high}; whole numbers end at {_MAX_INTEGER:,}"
            )
        return self

    def samples(self) -> list[float]:
        """Return both ends and a value between them."""
        between = self.low + (self.high / math.pi - self.low / math.pi)  # the difference overflows
        samples = [self.low, between, self.high]
        return [round(sample) for sample in samples] if self.integer else samples


class SweepConfig(Section):
    """A sweep, as its YAML file describes it."""

    section: ClassVar[str] = "sweep"

    base: str = Field(description="Preset, or YAML file relative to that of the sweep.")
    method: Literal["grid", "random", "optuna"] = Field(
        "grid",
        description="grid: all combinations of choices. random: independent draws. optuna: draws "
        "that learn from earlier trials (tree-structured Parzen estimator); needs the extra "
        "`sweep`.",
    )
    trials: int | None = Field(
        None, ge=1, description="Trials of random and optuna, >= 1; grid tries all combinations."
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
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"sweep.seeds = {shown(self.seeds)}: each may stand there once")
        if self.num_trials * len(self.seeds) > MAX_RUNS:
            raise ConfigError(
                f"{self.num_trials:,} trials with {len(self.seeds):,} seeds each are more than the "
                f"{MAX_RUNS:,} runs that a sweep may have; try fewer choices, or method: random"
            )
        return self

    @property
    def num_trials(self) -> int:
        """The number of trials: of a grid, all combinations of its choices."""
        choices = (values for values in self.settings.values() if not isinstance(values, Range))
        return self.trials or math.prod(map(len, choices))

    def config(self, base: Config, settings: dict[str, Any]) -> Config:
        """Return the base with some settings changed; ConfigError if they do not fit together."""
        values = base.model_dump(mode="json")
        for path, value in settings.items():
            section, _, field = path.partition(".")
            values.setdefault(section, {})[field] = value
        return Config.model_validate(values)


def load_sweep(path: Path) -> tuple[SweepConfig, Config]:
    """Return the sweep that a YAML file describes, and its base, or raise ConfigError."""
    text = read_file(path, "the sweep", "a sweep is a YAML file; docs/tools.md shows one")
    example = "a mapping with 'base: cartpole' and 'settings:'"
    try:
        sweep = SweepConfig.model_validate(parse_mapping(text, example))
        base = load_config(str(path.parent / sweep.base) if is_path(sweep.base) else sweep.base)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return sweep, base


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
    if name == "run.seed":
        return "`seeds` lists the seeds"
    names = [
        f"{section}.{field}" for section in _SECTIONS for field in _SECTIONS[section].model_fields
    ]
    others = f"name a section.field of the configuration other than {', '.join(_NOT_SWEPT)}"
    return suggestion(name, names) or others
