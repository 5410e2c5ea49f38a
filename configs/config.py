"""The whole configuration of a run, and the rules that tie its sections together."""

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
from reinforce.configs.section import Section


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


_CHANGEABLE = {
    "stop": None,  # None: every field
    "checkpoint": {"every_s", "keep"},  # where they lie is where they are looked for
    "workers": {
        "num_workers",
        "min_workers",
        "max_workers",
        "ticket_timeout_s",
        "max_ticket_attempts",
    },
    "cluster": {"backend", "address", "cpus_per_worker"},
    "evaluation": {"video"},
    "tracking": {"enabled"},
    "run": {"directory"},  # a run directory may be moved
}


def changes_between(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that differs, as JSON has it, by name ``section.field``.

    Raises:
        ConfigError: A setting differs that decides what is computed.
    """
    changes = {}
    was, becomes = old.model_dump(mode="json"), new.model_dump(mode="json")
    for section, fields in was.items():
        changeable = _CHANGEABLE.get(section, set())
        for field, value in fields.items():
            if becomes[section][field] == value:
                continue
            name = f"{section}.{field}"
            if changeable is not None and field not in changeable:
                raise ConfigError(
                    f"{name} = {becomes[section][field]!r} cannot be changed in a run that began "
                    f"with {value!r}: its results would be those of neither; begin a new run"
                )
            changes[name] = (value, becomes[section][field])
    return changes
