"""The whole configuration of a run, and the rules that tie its sections together."""

import math
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import model_validator

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

    @property
    def tickets_per_update(self) -> int:
        """Tickets that one batch is divided into; independent of the number of workers."""
        return math.ceil(self.learner.episodes_per_update / self.workers.episodes_per_ticket)

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        learner = self.learner
        if learner.baseline != "none" and learner.episodes_per_update < 2:
            raise ConfigError(
                f"learner.baseline = {learner.baseline!r} compares episodes with each other and "
                f"needs learner.episodes_per_update >= 2, not {learner.episodes_per_update}; use "
                "learner.baseline none or more episodes"
            )
        if learner.advantage_scale == "episode" and learner.baseline != "none":
            raise ConfigError(
                f"learner.advantage_scale = 'episode' subtracts each episode's own mean, which "
                f"undoes learner.baseline = {learner.baseline!r}; use learner.baseline none"
            )
        if self.stop.target_return is not None and self.evaluation.every_updates is None:
            raise ConfigError(
                f"stop.target_return = {self.stop.target_return} is compared with evaluations, but "
                "evaluation.every_updates is None; set it to a number of updates"
            )
        if self.tracking.uri and urlsplit(self.tracking.uri).password is not None:
            raise ConfigError(
                "tracking.uri holds a password, and the configuration is written to the run "
                "directory and to MLflow; give it in MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or the whole address in MLFLOW_TRACKING_URI"
            )
        if self.cluster.backend == "inline" and self.cluster.address is not None:
            raise ConfigError(
                f"cluster.address = {self.cluster.address!r} has no meaning with cluster.backend = "
                "'inline'; use cluster.backend ray"
            )
        return self
