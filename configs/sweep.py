"""What a sweep is: which settings are tried, how they are chosen, and with which seeds."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, model_validator

from configs.config import Config
from configs.loading import load_config
from configs.section import ConfigError, Section
from configs.strict_yaml import parse_yaml

_NOT_SWEPT = ("run.name", "run.directory", "run.seed")


class Range(Section):
    """An interval of numbers."""

    section: ClassVar[str] = "settings"

    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    log: bool = Field(default=False, description="Spread evenly over orders of magnitude.")
    integer: bool = Field(default=False, description="Whole numbers only.")

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            rule = "0 < low < high with log" if self.log else "low < high"
            raise ConfigError(
                f"settings: low = {self.low}, high = {self.high}; it has to be {rule}"
            )
        return self


Choices = Annotated[list[Any], Field(min_length=1)]


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
    seeds: Annotated[list[int], Field(min_length=1)] = Field(
        [0], description="Values of run.seed; each trial is one run per seed."
    )
    sampler_seed: int = Field(0, ge=0, description="Seed of the draws, >= 0.")
    settings: dict[str, Choices | Range] = Field(
        min_length=1,
        description="By section.field: a list of choices, or {low, high, log, integer}.",
    )

    def config(self, base: Config, settings: dict[str, Any]) -> Config:
        """Return the base with some settings changed.

        Raises:
            ConfigError: A value is refused, alone or beside the others.
        """
        values = base.model_dump(mode="json")
        for path, value in settings.items():
            section, _, field = path.partition(".")
            values[section][field] = value
        return Config.model_validate(values)


def load_sweep(path: Path) -> tuple[SweepConfig, Config]:
    """Return the sweep that a YAML file describes, and its base.

    Raises:
        ConfigError: It cannot be read, or says something that cannot be swept.
    """
    try:
        values: Any = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the sweep {str(path)!r}: {error}") from None
    sweep = SweepConfig.model_validate(values)
    is_file = sweep.base.endswith((".yaml", ".yml")) or "/" in sweep.base
    base = load_config(str(path.parent / sweep.base) if is_file else sweep.base)
    ranges = [name for name, values in sweep.settings.items() if isinstance(values, Range)]
    if sweep.method == "grid" and (ranges or sweep.trials):
        what = f"{ranges[0]} is a range" if ranges else f"trials = {sweep.trials}"
        raise ConfigError(f"{what}, but method = 'grid' tries all combinations of choices")
    if sweep.method != "grid" and sweep.trials is None:
        raise ConfigError(f"method = {sweep.method!r} needs the number of trials")
    for name in sweep.settings:
        _check_name(base, name)
    return sweep, base


def _check_name(base: Config, name: str) -> None:
    section, _, field = name.partition(".")
    values = base.model_dump(mode="json")
    if name in _NOT_SWEPT or field not in values.get(section, {}):
        raise ConfigError(
            f"settings: {name!r} cannot be swept; name a section.field of the configuration other "
            f"than {', '.join(_NOT_SWEPT)}"
        )
