"""The files of a policy's model in MLflow: an exported bundle, and what calls it.

So a model can be what `reinforce export` can write, and takes and returns what its ONNX graph does,
under the same names (docs/tools.md); plain arrays where there is but one of them.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.entities import LoggedModel
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from reinforce.cluster.errors import ExportError
from reinforce.cluster.export.bundle import write_bundle
from reinforce.cluster.export.drawn_steps import drawn_steps
from reinforce.cluster.export.onnx_ports import Port, input_ports, output_ports, parameters_name
from reinforce.cluster.export.onnx_replay import inputs_of
from reinforce.cluster.export.predict import Policy, replay
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.tracking.provenance import installed_versions
from reinforce.cluster.tracking.registry import BUNDLE
from reinforce.configs.plurals import counted

_NUM_STEPS = 100
"""On which a model is checked before it is sent; `reinforce export` checks with ten times more."""

_EXAMPLE_ROWS = 2


def write_checked_bundle(folder: Path, policy: TrainedPolicy) -> dict[str, Any]:
    """Write a bundle into a new folder, act with it, and return its description.

    Raises:
        ExportError: An action differs.
        ConfigError: The network of a user's own class cannot be imported, or not be exported.
    """
    folder.mkdir()
    about = write_bundle(folder, policy, drawn_steps(policy, _NUM_STEPS, 0), onnx=False)
    num_steps, different = replay(Policy(folder), folder / "steps.jsonl")
    if different:
        raise ExportError(
            f"it acts differently in {len(different)} of {counted(num_steps, 'step')}"
        )
    return about


def save_model(
    folder: Path, bundle: Path, about: dict[str, Any], policy: TrainedPolicy, model: LoggedModel
) -> None:
    """Write the files of a model into a new folder."""
    inputs, outputs = input_ports(about), _outputs(about)
    network = "torch" if about["program"] else "safetensors"
    requirements = installed_versions(("mlflow", "numpy", network))
    with _quiet():
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("policy_model.py")),
            artifacts={BUNDLE: str(bundle)},
            model_config={"inputs": _paths(inputs), "outputs": _paths(outputs)},
            signature=ModelSignature(_schema(inputs), _schema(outputs)),
            input_example=_example(about, policy),
            pip_requirements=[f"{name}=={version}" for name, version in requirements.items()],
            mlflow_model=Model(
                run_id=model.source_run_id,
                model_id=model.model_id,
                model_uuid=model.model_id,
                artifact_path=model.artifact_location,
            ),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Context in which MLflow does not say which example it looks at, and what might be better."""
    logger = logging.getLogger("mlflow.pyfunc")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            logger.setLevel(level)


def _outputs(about: dict[str, Any]) -> list[Port]:
    return [port for port in output_ports(about) if port.name != parameters_name(about)]


def _paths(ports: list[Port]) -> dict[str, list[Any]]:
    """Return where each part of an observation or an action is, by its name."""
    return {port.name: list(port.path) for port in ports if port.path is not None}


def _is_plain(ports: list[Port]) -> bool:
    """Return whether one array is all."""
    return len(ports) == 1 and not ports[0].path


def _schema(ports: list[Port]) -> Schema:
    return Schema(
        [
            TensorSpec(
                np.dtype(port.dtype), (-1, *port.shape), None if _is_plain(ports) else port.name
            )
            for port in ports
        ]
    )


def _example(about: dict[str, Any], policy: TrainedPolicy) -> Any:
    steps = drawn_steps(policy, _EXAMPLE_ROWS, 0)
    rows = [inputs_of(about, step, np.zeros((1, about["memory"]), np.float32)) for step in steps]
    example: dict[str, NDArray[Any]] = {
        name: np.concatenate([row[name] for row in rows]) for name in rows[0]
    }
    return next(iter(example.values())) if _is_plain(input_ports(about)) else example
