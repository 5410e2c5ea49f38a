"""REINFORCE on a Ray cluster in which the number of workers changes only the speed.

>>> import reinforce
>>> run = reinforce.train("cartpole", {"learner.learning_rate": 0.02}, seed=1)
>>> run.evaluate(episodes=100).mean
500.0

``train`` trains and returns a ``Run``; ``load`` opens one, or a policy without its run;
``pretrain`` imitates recorded actions; ``compare`` compares configurations over seeds. A ``Run``
has its tables as DataFrames (``updates``, ``episodes``, ``evaluations``), and its ``policy()``
acts. The command line does the same.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import reinforce.cluster  # noqa: F401  (light, and before Ray and MLflow read their environment)

if TYPE_CHECKING:
    from reinforce.callbacks import MaxUpdateTime, SaveEachBest
    from reinforce.cluster.callbacks import Callback, TrainingEvent
    from reinforce.cluster.errors import (
        CallbackError,
        ClusterUnreachableError,
        ExportError,
        NotReproducedError,
        RunDirectoryError,
        StorageError,
        TicketFailedError,
        TrainingError,
        UsageError,
    )
    from reinforce.cluster.moments.certificate import Certificate
    from reinforce.comparison import Comparison, compare
    from reinforce.configs.config import Config
    from reinforce.configs.errors import ConfigError, ReinforceError
    from reinforce.learner.networks.custom import UnsuitablePolicyError
    from reinforce.learner.networks.exported import UnexportableNetworkError
    from reinforce.moments import Moment
    from reinforce.policy import Policy
    from reinforce.runs import Run, load
    from reinforce.saved import EvaluationResult, SavedPolicy
    from reinforce.training import pretrain, train
    from reinforce.workers.environment import UnsuitableEnvironmentError

_ERRORS = (
    *("CallbackError", "ClusterUnreachableError", "ExportError", "NotReproducedError"),
    *("RunDirectoryError", "StorageError"),
    *("TicketFailedError", "TrainingError", "UsageError"),
)
_HOMES = {
    "Callback": "cluster.callbacks",
    "TrainingEvent": "cluster.callbacks",
    "MaxUpdateTime": "callbacks",
    "SaveEachBest": "callbacks",
    "Certificate": "cluster.moments.certificate",
    "Comparison": "comparison",
    "compare": "comparison",
    "Config": "configs.config",
    "ConfigError": "configs.errors",
    "ReinforceError": "configs.errors",
    "Policy": "policy",
    "EvaluationResult": "saved",
    "Moment": "moments",
    "Run": "runs",
    "SavedPolicy": "saved",
    "load": "runs",
    "pretrain": "training",
    "train": "training",
    "UnexportableNetworkError": "learner.networks.exported",
    "UnsuitableEnvironmentError": "workers.environment",
    "UnsuitablePolicyError": "learner.networks.custom",
    **dict.fromkeys(_ERRORS, "cluster.errors"),
}
"""The module of each name, imported at first use: every module below imports this package, and the
command line needs none of them."""

__all__ = [
    "Callback",
    "CallbackError",
    "Certificate",
    "ClusterUnreachableError",
    "Comparison",
    "Config",
    "ConfigError",
    "EvaluationResult",
    "ExportError",
    "MaxUpdateTime",
    "Moment",
    "NotReproducedError",
    "Policy",
    "ReinforceError",
    "Run",
    "RunDirectoryError",
    "SaveEachBest",
    "SavedPolicy",
    "StorageError",
    "TicketFailedError",
    "TrainingError",
    "TrainingEvent",
    "UnexportableNetworkError",
    "UnsuitableEnvironmentError",
    "UnsuitablePolicyError",
    "UsageError",
    "compare",
    "load",
    "pretrain",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("distributed-reinforce")
    if name not in _HOMES:
        way = "; write reinforce.train('cartpole') or reinforce.train(environment=...)"
        hint = way if name in ("A2C", "DQN", "PPO", "SAC", "TD3") else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    return getattr(import_module(f"reinforce.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
