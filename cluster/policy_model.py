"""The policy as MLflow loads it: ``mlflow.pyfunc.load_model("models:/...").predict(observations)``.

MLflow runs this file to make the model, so nothing of it is pickled. It needs this project to be
installed; a bundle that does not is what ``reinforce export`` writes.
"""

from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from safetensors.numpy import load_file

from configs.loading import load_config
from learner.policy import MLPPolicy
from learner.weights import Weights
from workers.environment import inspect_environment
from workers.rollout_worker import architecture_of


class PolicyModel(PythonModel):
    """Takes the most probable action of each observation."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load configuration and weights; MLflow calls this once."""
        config = load_config(context.artifacts["config"])
        spec = inspect_environment(config.environment)
        self._first_action = spec.first_action
        self._policy = MLPPolicy(architecture_of(config, spec))
        arrays = load_file(context.artifacts["weights"])
        self._policy.load(Weights(int(arrays["version"][0]), arrays["weights"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # MLflow knows no other form
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.int64]:
        """Return [n] actions of the environment for [n, ...] observations."""
        observations = np.asarray(model_input, dtype=np.float32)
        return self._policy.act_greedily(observations) + self._first_action


mlflow.models.set_model(PolicyModel())
