"""The policy as MLflow loads it: ``mlflow.pyfunc.load_model("models:/...").predict(inputs)``.

MLflow runs this file to make the model, so nothing of it is pickled. It needs NumPy, and what the
bundle needs that comes with it: safetensors, or Torch for a network of the user's own. It does not
need this project.
"""

import importlib.util
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray


class PolicyModel(PythonModel):
    """Takes the most probable action of each observation."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the policy of the bundle; MLflow calls this once."""
        folder = Path(context.artifacts["bundle"])
        description = importlib.util.spec_from_file_location("predict", folder / "predict.py")
        if description is None or description.loader is None:
            raise ImportError(f"{folder} holds no predict.py")
        # Not among the modules of the process: another model brings another program of that name.
        self._program: Any = importlib.util.module_from_spec(description)
        description.loader.exec_module(self._program)
        self._policy = self._program.Policy(folder)
        self._inputs: dict[str, list[Any]] = context.model_config["inputs"]
        self._outputs: dict[str, list[Any]] = context.model_config["outputs"]

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # or, where the signature has names, a dict of them
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Return the most probable actions for n observations, one array or a dict of them.

        Args:
            context: As MLflow has it.
            model_input: [n, ...] observations, or by name each part of them, ``mask`` and
                ``memory`` (zeros at the start of an episode, then the ``next_memory`` before).
            params: None are known.
        """
        inputs = dict(model_input) if isinstance(model_input, dict) else {"": model_input}
        rows = [self._act(inputs, row) for row in range(len(next(iter(inputs.values()))))]
        outputs: dict[str, NDArray[Any]] = {
            name: np.array([self._program.at(action, path) for action, _ in rows])
            for name, path in self._outputs.items()
        }
        if self._policy.about["memory"]:
            return outputs | {"next_memory": np.concatenate([memory for _, memory in rows])}
        is_plain = list(self._outputs.values()) == [[]]
        return outputs["action"] if is_plain else outputs

    def _act(self, inputs: dict[str, NDArray[Any]], row: int) -> tuple[Any, NDArray[np.float32]]:
        """Return the action for a row of the inputs, and the memory after it."""
        names = inputs if "" in inputs else self._inputs
        observation = self._program.nested(
            list(self._inputs.values()), [inputs[name][row] for name in names]
        )
        if "memory" in inputs:
            self._policy.memory = inputs["memory"][row : row + 1]
        mask = [inputs["mask"][row]] if "mask" in inputs else None
        return self._policy.act(observation, mask=mask), self._policy.memory


mlflow.models.set_model(PolicyModel())
