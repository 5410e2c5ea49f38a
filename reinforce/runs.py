"""A run in Python: its settings, measurements and policy, and its verbs as methods."""

import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from reinforce.arguments import AnyPath, EnvironmentSettings, Settings, checked
from reinforce.calls import changes_of, console_of, with_settings
from reinforce.cluster.analysis.plots import draw_run
from reinforce.cluster.callbacks import Callback, checked_callbacks
from reinforce.cluster.commands.export import export_policy
from reinforce.cluster.commands.record import record
from reinforce.cluster.errors import RunDirectoryError, UsageError
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.export.video import prepare_to_film
from reinforce.cluster.moments.certificate import Certificate
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.verification import verify
from reinforce.cluster.policy_sources import find_policy, is_run_directory
from reinforce.cluster.resumed_run import Consent, go_on
from reinforce.cluster.run_store.journal import JournalEntry, is_being_written, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.trust import note_trusted, require_mlflow_run
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.given_objects import PREFIX, give
from reinforce.configs.loading import load_config
from reinforce.moments import Moment
from reinforce.policy import Policy
from reinforce.saved import EvaluationResult, FinalEvaluation, SavedPolicy, evaluated

_COUNTERS = ("updates", "environment_steps", "training_time_s", "timestamp_ms")
_OF_EPISODES = (
    *("update", "ticket", "episode", "return", "length", "log_prob", "terminated", "truncated"),
)
"""Columns of the tables, which empty tables have, too."""


class Run(SavedPolicy):
    """A run directory. It is only read, except where a method says otherwise."""

    @checked
    def __init__(self, path: AnyPath) -> None:
        """Open a run directory.

        Raises:
            UsageError: There is no run directory at this path.
        """
        self._directory = RunDirectory.open(Path(path))
        self.path = self._directory.path
        self.name = self._directory.name
        self.source = str(self.path)

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return load_config(str(self._directory.config_file))

    @property
    def summary(self) -> Mapping[str, Any]:
        """The content of ``summary.json``; empty until the run has ended."""
        return read_summary(self._directory.summary_file) or {}

    @property
    def status(self) -> str:
        """``finished``, ``interrupted``, ``failed``, ``running``, or ``killed`` (no summary)."""
        if "status" in self.summary:
            return str(self.summary["status"])
        return "running" if is_being_written(self._directory.journal_file) else "killed"

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the last weights; None until the run has ended."""
        return self.summary.get("weights_sha256")

    @property
    def evaluation(self) -> FinalEvaluation | None:
        """The final evaluation, on seeds reserved for it; None if the run did not finish."""
        found = self.summary.get("evaluation")
        return None if found is None else FinalEvaluation(found)

    @property
    def updates(self) -> pd.DataFrame:
        """One row per update: counters, and metrics by their names in MLflow.

        ``updates`` counts the updates applied so far, including this one. ``update`` is its number
        from 0, as in tickets and ``episodes``: ``run.episodes.merge(run.updates, on="update")``.
        """
        return _table(self._rows(are_updates=True), ("update", *_COUNTERS, "rollout/return_mean"))

    @property
    def evaluations(self) -> pd.DataFrame:
        """One row per evaluation; those on other seeds have columns ``evaluation/confirmed_…``."""
        return _table(self._rows(are_updates=False), (*_COUNTERS, "evaluation/return_mean"))

    @property
    def episodes(self) -> pd.DataFrame:
        """One row per training episode, in ticket order.

        Columns: update, ticket, episode, return, length, log_prob (mean over its actions under the
        policy that played it, in nats), terminated, truncated, and the metrics from ``info``, such
        as is_success. Runs of version 0.1 lack log_prob and how an episode ended.
        """
        size, tables = self.config.workers.episodes_per_ticket, []
        for entry in self._entries():
            if entry.batch:
                num = len(entry.batch.episode_returns)
                ticket, episode = np.divmod(np.arange(num), size)
                unknown: list[bool | None] = [None] * num
                truncated = pd.array(entry.batch.episode_truncated or unknown, dtype="boolean")
                returns, lengths = entry.batch.episode_returns, entry.batch.episode_lengths
                log_probs = pd.array(entry.batch.episode_log_probs or unknown, dtype="Float64")
                columns = (entry.updates - 1, ticket, episode, returns, lengths, log_probs)
                table = dict(zip(_OF_EPISODES, (*columns, ~truncated, truncated), strict=True))
                tables.append(pd.DataFrame({**table, **entry.batch.episode_metrics}))
        return (
            pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_OF_EPISODES)
        )

    def _entries(self) -> Iterator[JournalEntry]:
        file = self._directory.journal_file
        if not file.exists():
            raise RunDirectoryError(f"{file} is missing, the only record of what was measured")
        return read_entries(file)

    def _rows(self, *, are_updates: bool) -> Iterator[dict[str, Any]]:
        for entry in self._entries():
            if entry.batch is not None if are_updates else entry.is_evaluation:
                yield {
                    **({"update": entry.updates - 1} if are_updates else {}),
                    **{name: getattr(entry, name) for name in _COUNTERS},
                    **entry.metrics,
                }

    @checked
    def policy(self, *, best: bool = False) -> Policy:
        """Return the newest policy, or the one with the best evaluation.

        The environment is not created.

        Raises:
            UsageError: There is no such checkpoint, or the run is not known to be yours.
        """
        return Policy(TrainedPolicy.load(self.path, best=best, plays=False))

    @checked
    def at(self, update: int, *, progress: bool = True) -> Moment:
        """Return the run after this many updates, from the nearest earlier checkpoint.

        Missing updates are computed again in this process, without touching the run directory; each
        must match the journal.

        Args:
            update: Updates applied, from 0 to all that the run has made.
            progress: Print how far it is.

        Raises:
            UsageError: There is no such moment, or the run is not known to be yours.
            NotReproducedError: An update differs from the journal.
            TrainingError: The environment or the learner failed on the way.
        """
        console = console_of(progress=progress)
        return Moment(Reconstruction(self._directory, console), update, console)

    @checked
    def verify(
        self,
        updates: int | Literal["all"] = 10,
        *,
        seed: int | None = None,
        track: bool = False,
        progress: bool = True,
    ) -> Certificate:
        """Compute updates again in this process, and compare them with the records.

        Args:
            updates: How many updates, >= 1, drawn at random; or all, with every checkpoint and the
                final evaluation.
            seed: Seed of the draw, >= 0. None: a new one.
            track: Store the certificate as certificate.json with the run in MLflow. If MLflow does
                not accept it, a RuntimeWarning says why.
            progress: Print how far it is.

        Raises:
            UsageError: There is nothing to verify, the run is not known to be yours, or ``track``
                is set and the run is not in MLflow.
            TrainingError: An update cannot be computed.
        """
        console = console_of(progress=progress)
        past = Reconstruction(self._directory, console)
        if track:
            require_mlflow_run(self._directory, past.config)
        certificate = verify(past, console, updates, seed)
        if track:
            # Imported late: MLflow takes seconds.
            from reinforce.cluster.tracking.certificates import store_certificate

            try:
                store_certificate(self._directory, past.config.tracking, certificate.text())
            except UsageError as error:  # the certificate, which may have taken hours, is returned
                lost = f"the certificate is not in MLflow: {error}"
                warnings.warn(lost, RuntimeWarning, stacklevel=3)  # above ``checked``
        return certificate

    @checked
    def evaluate(
        self,
        episodes: int = 100,
        *,
        seed: int | None = None,
        sampled: bool = False,
        best: bool = False,
        environment: EnvironmentSettings | Callable[..., Any] | None = None,
    ) -> EvaluationResult:
        """Play fresh episodes, in this process; nothing is written.

        Args:
            episodes: How many, 1 to 1,000,000.
            seed: Seed of the episodes, >= 0; the same seed gives the same episodes, which neither
                training nor its evaluations play. None: the run's seed.
            sampled: Sample actions as in training.
            best: Take the checkpoint of the best evaluation instead of the newest one.
            environment: Changes to the environment of the run's evaluations: settings of the
                section ``environment``, such as ``{"kwargs": {"gravity": -5.0}}``; or the class or
                function that makes another one.

        Raises:
            ConfigError, UnsuitableEnvironmentError, UsageError: The environment cannot be played
                here.
            TicketFailedError: The environment failed.
        """
        trained = TrainedPolicy.load(self.path, best=best, changes=changes_of(environment))
        return evaluated(trained, episodes, seed, sampled=sampled)

    @checked
    def resume(
        self,
        overrides: Settings | None = None,
        *,
        change: bool = False,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> "Run":
        """Continue from the newest intact checkpoint as if nothing had happened; return the run.

        Args:
            overrides: Settings that do not decide what is computed, such as
                ``{"stop.max_updates": 200}``; with ``change``, others as well.
            change: Continue with other settings on purpose, such as another learning rate: from
                here on the run belongs to neither configuration, and comparisons keep it apart.
            callbacks: As for ``train``.
            progress: Print how far it is.

        Raises:
            ConfigError, UnsuitableEnvironmentError, UsageError: The run cannot continue with these
                settings.
            TrainingError: The run failed again.
            KeyboardInterrupt: The user stopped it; a checkpoint is written.
        """
        callbacks = checked_callbacks(callbacks)
        started_s, console = time.monotonic(), console_of(progress=progress)
        config, remarks = with_settings(self.config, overrides or {})
        code = go_on(
            *(self._directory, config, console, started_s, callbacks, remarks),
            forget_requests=True,
            consent=Consent(tuple(overrides or ()), change),
        )
        raise_if_interrupted(code)
        return Run(self.path)

    @checked
    def plot(self, directory: AnyPath | None = None) -> list[Path]:
        """Draw the pictures of the run and return their paths.

        Args:
            directory: Folder for the pictures. None: ``plots/`` in the run directory.
        """
        own = self._directory.plots
        folder = Path(directory) if directory else self._directory.require_inside(own)
        return draw_run(self._directory.journal_file, folder, self.name)

    @checked
    def record(
        self,
        episodes: int = 1,
        *,
        seed: int | None = None,
        sampled: bool = False,
        best: bool = False,
        directory: AnyPath | None = None,
        environment: EnvironmentSettings | Callable[..., Any] | None = None,
    ) -> list[Path]:
        """Film episodes as mp4 and return the paths; arguments as for ``evaluate``.

        They go to ``directory``; None: ``videos/`` in the run directory.

        Raises:
            UnsuitableEnvironmentError, UsageError: The environment cannot be filmed here.
        """
        prepare_to_film()
        trained = TrainedPolicy.load(self.path, best=best, changes=changes_of(environment))
        own = self._directory.videos
        folder = Path(directory) if directory else self._directory.require_inside(own)
        return list(record(trained, folder, episodes, seed, sampled=sampled))

    @checked
    def export(self, directory: AnyPath, *, onnx: bool = False, best: bool = False) -> Path:
        """Export a policy that runs without this project, and return its folder.

        Raises:
            ExportError: It would act differently; nothing was written.
            UsageError: The policy cannot be exported.
        """
        trained = TrainedPolicy.load(self.path, best=best, plays=False)
        return export_policy(trained, Path(directory), onnx=onnx)

    def __repr__(self) -> str:
        return f"<Run {str(self.path)!r}, {self.status}>"


@checked
def load(
    source: AnyPath,
    *,
    environment: Callable[..., Any] | None = None,
    policy: Callable[..., Any] | None = None,
    evaluation_environment: Callable[..., Any] | None = None,
    trust: bool = False,
) -> Run | Any:
    """Open a run, or a policy without its run, without importing anything that it names.

    Args:
        source: A run directory, whose run may still be training: this gives a ``Run``. Or one of
            these, which gives a ``SavedPolicy``, a ``Run`` without everything that needs the run: a
            folder or URL of checkpoints, or one of its files (``"s3://bucket/runs/mine"``,
            followed by ``@best`` or ``@UPDATE`` for a version other than the newest); the folder of
            an exported bundle; an agent of the zoo (``"zoo:cartpole"``); an MLflow model
            (``"models:/NAME@champion"``, ``"models:/NAME/3"``, ``"models:/NAME/latest"``,
            ``"models:/m-ID"``, ``"runs:/RUN_ID/best"``) in the store that
            ``mlflow.set_tracking_uri`` or the environment names, or in ``mlflow.db`` here.
        environment: The class or function that the run was given from Python.
        policy: The policy's class, likewise.
        evaluation_environment: The object in ``evaluation.environment``, if it differs.
        trust: Allow the code and places that it names, although you have not made it.

    Raises:
        ConfigError: An object was passed, but the run names an importable one.
        UsageError: It is missing or cannot be read.
    """
    name = str(source)  # a Path would take a slash out of a URL
    if is_run_directory(name):
        loaded: SavedPolicy = Run(source)
    else:
        loaded = SavedPolicy(
            find_policy(name, "source", TrackingConfig(), trust=trust), trust=trust
        )
    config = loaded.config
    for setting, thing in (
        (config.environment.id, environment),
        (config.policy.kind, policy),
        (config.evaluation_environment.id, evaluation_environment),
    ):
        if thing is None:
            continue
        if not setting.startswith(PREFIX):
            raise ConfigError(
                f"{name} names {setting!r}, which can be imported: leave the object out"
            )
        give(setting, thing)
    if trust and isinstance(loaded, Run):
        note_trusted(loaded._directory, config)
    return loaded


def _table(rows: Iterator[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table, which has at least these columns."""
    table = pd.DataFrame(rows)
    return pd.DataFrame(columns=columns) if table.empty else table


def raise_if_interrupted(exit_code: int) -> None:
    """Raise what Python raises for the signal that ended a run.

    Raises:
        KeyboardInterrupt: It was SIGINT.
        SystemExit: It was another signal.
    """
    if exit_code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if exit_code > 128:
        raise SystemExit(exit_code)
