"""A trained policy, with or without its run, and what you can do with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reinforce.arguments import AnyPath, checked
from reinforce.cluster.commands.export import export_policy
from reinforce.cluster.commands.record import folder_without_run, record
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.episode_metrics import episode_metrics
from reinforce.cluster.evaluation import Evaluation
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.export.video import prepare_to_film
from reinforce.cluster.number_format import mean_and_interval, number
from reinforce.cluster.policy_sources import StoredPolicy
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.configs.synonyms import Explained
from reinforce.policy import Policy


class FinalEvaluation(dict[str, Any]):
    """A run's final evaluation from ``summary.json``, with the names of EvaluationResult.

    The returns of single episodes are not stored.
    """

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return int(self["episodes"])

    @property
    def greedy(self) -> bool:
        """Whether the most probable action was taken."""
        return bool(self["greedy"])

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self["return_mean"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean by Student's t."""
        low, high = self["return_ci95"]
        return low, high


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Results of fresh episodes of a trained policy.

    Attributes:
        returns: [E] undiscounted, in the environment's unit.
        lengths: [E] in steps.
        metrics: By name, [E] values from ``info`` for each episode; NaN where missing.
        greedy: Whether the most probable action was taken.
        update: Number of updates behind the weights.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    metrics: Mapping[str, NDArray[np.float64]]
    greedy: bool
    update: int

    @property
    def episodes(self) -> int:
        """Number of episodes: E."""
        return len(self.returns)

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean by Student's t; NaN for a single episode."""
        return Evaluation.of(self.returns, greedy=self.greedy).return_ci95

    def __repr__(self) -> str:
        said = [f"mean return {mean_and_interval(self.mean, *self.interval)}"]
        means = {name: float(np.nanmean(values)) for name, values in self.metrics.items()}
        said += [f"{name} {number(mean)}" for name, mean in means.items()]
        return f"<{', '.join(said)} over {counted(self.episodes, 'episode')}, update {self.update}>"


class SavedPolicy(Explained):
    """A policy without its run: from a checkpoint, an exported bundle, or an MLflow model.

    A ``Run`` has the same methods, and more.

    Attributes:
        source: A name that identifies exactly this version.
    """

    _instead: ClassVar = {
        "save": "a run is saved in its directory while it trains; export() makes a bundle",
        "learn": "resume({'stop.max_updates': ...}) continues the run",
        "predict": "policy().act(observation) returns an action and the next state",
        "model": "policy() returns the policy",
        "set_env": "evaluate(environment=...) plays elsewhere, and train(environment=..., "
        "overrides={'run.start_from': run}) continues there",
        "get_env": "config.environment says which environment it was",
    }

    def __init__(self, stored: StoredPolicy, *, trust: bool = False) -> None:
        self.source = stored.source
        self._stored, self._trust = stored, trust

    @property
    def config(self) -> Config:
        """The configuration that it was trained with; from a bundle or a model, without secrets."""
        return self._stored.config

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights."""
        return self._stored.checkpoint.weights.sha256

    def policy(self) -> Policy:
        """Return the policy; the environment is not created.

        Raises:
            UsageError: Its class would have to be imported, and you have not trusted it.
        """
        return Policy(self._trained(plays=False))

    @checked
    def evaluate(
        self, episodes: int = 100, *, seed: int | None = None, sampled: bool = False
    ) -> EvaluationResult:
        """Play fresh episodes, in this process; nothing is written.

        Args:
            episodes: How many, 1 to 1,000,000.
            seed: Seed of the episodes, >= 0; the same seed gives the same episodes, which neither
                training nor its evaluations play. None: the run's seed.
            sampled: Sample actions as in training.

        Raises:
            UnsuitableEnvironmentError, UsageError: The environment cannot be played here.
            TicketFailedError: The environment failed.
        """
        return evaluated(self._trained(plays=True), episodes, seed, sampled=sampled)

    @checked
    def record(
        self,
        episodes: int = 1,
        *,
        seed: int | None = None,
        sampled: bool = False,
        directory: AnyPath | None = None,
    ) -> list[Path]:
        """Film episodes as mp4 and return the paths; arguments as for ``evaluate``.

        They go to ``directory``; None: ``videos/`` here, for an agent of the zoo ``videos/NAME/``.

        Raises:
            UnsuitableEnvironmentError, UsageError: The environment cannot be filmed here.
        """
        prepare_to_film()
        trained = self._trained(plays=True)
        folder = Path(directory) if directory else folder_without_run(self.source)
        return list(record(trained, folder, episodes, seed, sampled=sampled))

    @checked
    def export(self, directory: AnyPath, *, onnx: bool = False) -> Path:
        """Export a policy that runs without this project, and return its folder.

        Raises:
            ExportError: It would act differently; nothing was written.
            UsageError: The policy cannot be exported.
        """
        return export_policy(self._trained(plays=False), Path(directory), onnx=onnx)

    def _trained(self, *, plays: bool) -> TrainedPolicy:
        self._stored.require_arguments()
        return self._stored.trained(trust=self._trust or self._stored.is_known, plays=plays)

    def __repr__(self) -> str:
        return f"<SavedPolicy {self.source!r}>"


def evaluated(
    trained: TrainedPolicy, episodes: int, seed: int | None, *, sampled: bool
) -> EvaluationResult:
    """Return the results of fresh episodes; errors as for ``SavedPolicy.evaluate``."""
    seed = trained.config.run.seed if seed is None else seed
    tickets = trained.tickets(seed, episodes, greedy=not sampled)
    reports = [report for report, _ in trained.play(tickets)]
    if any(report.num_cut for report in reports):
        PlainConsole(stderr=True).warn(Evaluation.of_reports(reports).cuts_in_words())
    return EvaluationResult(
        np.concatenate([report.episode_returns for report in reports]),
        np.concatenate([report.episode_lengths for report in reports]),
        {name: np.array(said, float) for name, said in episode_metrics(reports).items()},
        greedy=not sampled,
        update=trained.weights.version,
    )
