"""The policy as MLflow loads it: ``mlflow.pyfunc.load_model("models:/...").predict(observations)``.

MLflow runs this file to make the model, so nothing of it is pickled. It needs this project to be
installed; a bundle that does not is what ``reinforce export`` writes.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from safetensors.numpy import load_file

from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.configs.loading import load_config
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.weights import Weights
from reinforce.workers.observations import observation_rows
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.spaces import ActionDecoder


class PolicyModel(PythonModel):
    """Takes the most probable action of each observation."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load configuration and weights; MLflow calls this once."""
        config = load_config(context.artifacts["config"])
        spec = read_environment(Path(context.artifacts["environment"]))
        self._layout = spec.observation
        self._decoder = ActionDecoder(spec.action)
        self._policy = make_policy(architecture_of(config, spec))
        arrays = load_file(context.artifacts["weights"])
        self._policy.load(Weights(int(arrays["version"][0]), arrays["weights"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # MLflow knows no other form
        params: dict[str, Any] | None = None,
    ) -> NDArray[Any]:
        """Return [n, ...] actions of the environment for [n, ...] observations."""
        rows = observation_rows(self._layout, np.asarray(model_input))
        actions: NDArray[Any] = self._decoder.batch(self._policy.act_greedily(rows))
        return actions


mlflow.models.set_model(PolicyModel())
