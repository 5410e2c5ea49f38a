"""The whole configuration of a run, and the rules that tie its sections together."""

from collections.abc import Callable, Collection, Iterator
from typing import ClassVar, Self

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

_CHECKS: tuple[tuple[Callable[..., Iterator[str]], tuple[str, ...]], ...] = (
    (cross_checks.of_the_baseline, ("learner",)),
    (cross_checks.of_the_limit_of_time, ("learner", "environment")),
    (cross_checks.of_the_policy, ("policy",)),
    (cross_checks.of_the_memory_of_values, ("learner", "policy")),
    (cross_checks.without_effect, ("learner",)),
    (cross_checks.of_returns_and_schedules, ("learner", "cluster")),
    (cross_checks.of_workers, ("workers",)),
    (cross_checks.of_execution, ("stop", "evaluation", "cluster")),
    (cross_checks.of_metrics, ("environment", "stop")),
    (cross_checks.of_secrets, ("run", "tracking", "checkpoint")),
)
"""The checks across sections, each with the sections that it reads."""


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

    @property
    def requested_metrics(self) -> list[str]:
        """Return what the user wants from ``info``: the goal and all metrics."""
        target = self.stop.target_metric
        return list(dict.fromkeys([*([target] if target else []), *self.environment.info_metrics]))

    @property
    def evaluation_environment(self) -> EnvironmentConfig:
        """Return training's environment with the changes of ``evaluation.environment``.

        Raises:
            ConfigError: ``evaluation.environment`` does not fit; never after validation.
        """
        try:
            return self.environment.with_changes(self.evaluation.environment)
        except ConfigError as error:
            raise ConfigError(f"evaluation.environment: {error}") from None

    def played_in(self, environment: EnvironmentConfig) -> Self:
        """Return the configuration with this environment for everything."""
        evaluation = self.evaluation.model_copy(update={"environment": {}})
        return self.model_copy(update={"environment": environment, "evaluation": evaluation})

    def conflicts(self, unsound: Collection[str]) -> Iterator[str]:
        for check, names in _CHECKS:
            if not set(names) & set(unsound):
                yield from check(*(getattr(self, name) for name in names))
        if not {"environment", "evaluation"} & set(unsound):
            try:
                _ = self.evaluation_environment
            except ConfigError as error:
                yield str(error)
