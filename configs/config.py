"""The whole configuration of a run, and the rules that tie its sections together."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, Self

from pydantic import model_validator

from reinforce.configs import cross_checks
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import (
    CheckpointConfig,
    ClusterConfig,
    TrackingConfig,
    WorkersConfig,
)
from reinforce.configs.experiment import EnvironmentConfig, EvaluationConfig, RunConfig, StopConfig
from reinforce.configs.learning import LearnerConfig, PolicyConfig
from reinforce.configs.section import Role, Section


class Config(Section):
    """Everything that decides what a run does. Frozen, and written to the run directory."""

    section: ClassVar[str] = ""

    run: RunConfig = RunConfig()
    stop: StopConfig = StopConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    policy: PolicyConfig = PolicyConfig()
    learner: LearnerConfig = LearnerConfig()
    workers: WorkersConfig = WorkersConfig()
    cluster: ClusterConfig = ClusterConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        for message in chain(
            cross_checks.of_the_baseline(self.learner),
            cross_checks.of_the_policy(self.policy),
            cross_checks.without_effect(self.learner),
            cross_checks.of_returns_and_schedules(self.learner, self.cluster),
            cross_checks.of_workers(self.workers),
            cross_checks.of_execution(self.stop, self.evaluation, self.cluster),
            cross_checks.of_secrets(self.tracking, self.checkpoint),
        ):
            raise ConfigError(message)
        return self


def flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of all sections by ``section.field``."""
    return {
        f"{section}.{field}": value
        for section, fields in sections.items()
        for field, value in fields.items()
    }


def role_of(name: str) -> Role:
    """Return what the setting ``section.field`` is for."""
    section, _, field = name.partition(".")
    kind = Config.model_fields[section].annotation
    assert isinstance(kind, type) and issubclass(kind, Section)  # noqa: S101, PT018 (narrows)
    return kind.role_of(field)


def decides_the_result(name: str) -> bool:
    """Return whether runs are of one group only if they share this setting."""
    return role_of(name) in (Role.RESULT, Role.LIMIT)


def changes_between(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that differs, as JSON has it, by ``section.field``.

    Raises:
        ConfigError: A setting differs that a run keeps to its end.
    """
    was, becomes = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    changes = {name: (was[name], becomes[name]) for name in was if was[name] != becomes[name]}
    for name, (before, after) in changes.items():
        if role_of(name) in (Role.RESULT, Role.RECORD):
            raise ConfigError(
                f"{name} = {after!r} cannot be changed in a run that began with {before!r}: its "
                "results would be those of neither; begin a new run"
            )
    return changes
