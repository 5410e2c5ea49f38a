"""The whole configuration of a run, and the rules that tie its sections together."""

from itertools import chain
from typing import ClassVar, Self

from pydantic import model_validator

from configs import contradictions
from configs.execution import CheckpointConfig, ClusterConfig, TrackingConfig, WorkersConfig
from configs.experiment import EnvironmentConfig, EvaluationConfig, RunConfig, StopConfig
from configs.learning import LearnerConfig, PolicyConfig
from configs.section import ConfigError, Section


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
            contradictions.of_the_baseline(self.learner),
            contradictions.of_the_policy(self.policy),
            contradictions.without_effect(self.learner),
            contradictions.of_returns_and_schedules(self.learner, self.cluster),
            contradictions.of_workers(self.workers),
            contradictions.of_execution(self.stop, self.evaluation, self.cluster),
            contradictions.of_secrets(self.tracking, self.checkpoint),
        ):
            raise ConfigError(message)
        return self
