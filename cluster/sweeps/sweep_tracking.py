"""A sweep in MLflow: one parent run, below which the runs of its trials are shown.

Those are normal runs, sent by their own followers; they only get tags from here. Whatever MLflow
refuses is said once and stops nothing.
"""

from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from cluster.records.run_directory import RunDirectory, read_json, write_json
from cluster.sweeps.ledger import TrialRun
from cluster.tracking.mlflow_run import TrackingStore
from cluster.tracking.store_advice import explained
from configs.config import Config


class SweepTracking:
    """The parent run of a sweep, made with its first trial and found again by a file."""

    def __init__(self, folder: Path, config: Config, warn: Callable[[str], None]) -> None:
        self._file = folder / "tracking.json"
        self._name = folder.name
        self._store = TrackingStore.of(config.tracking, Path.cwd())
        self._warn = warn
        self._is_enabled = config.tracking.enabled

    def note(self, trial: TrialRun, run: RunDirectory) -> None:
        """Put the run of a trial below the sweep, and note the trial's score."""
        child = read_json(run.tracking_file)
        if child:
            self._guarded(lambda client: self._note(client, trial, child["run_id"]))

    def finish(self, status: str, best: float | None) -> None:
        """Give the parent run its status: FINISHED or KILLED."""
        parent = read_json(self._file)
        if not parent:
            return

        def finish(client: MlflowClient) -> None:
            if best is not None:
                client.log_metric(parent["run_id"], "sweep/best_score", best)
            client.set_terminated(parent["run_id"], status=status)

        self._guarded(finish)

    def _note(self, client: MlflowClient, trial: TrialRun, run_id: str) -> None:
        parent = self._parent(client, run_id)
        tags = {"mlflow.parentRunId": parent, "sweep": self._name, "trial": str(trial.trial)}
        for key, value in tags.items():
            client.set_tag(run_id, key, value)
        if trial.score is not None:
            client.log_metric(parent, "sweep/score", trial.score, step=trial.trial)

    def _parent(self, client: MlflowClient, run_id: str) -> str:
        state = read_json(self._file)
        if state is None:
            experiment_id = client.get_run(run_id).info.experiment_id
            made = client.create_run(
                experiment_id, run_name=self._name, tags={"sweep": self._name, "kind": "sweep"}
            )
            state = {"run_id": made.info.run_id, "experiment_id": experiment_id}
            write_json(self._file, state)
        client.update_run(state["run_id"], status="RUNNING")
        parent: str = state["run_id"]
        return parent

    def _guarded(self, action: Callable[[MlflowClient], None]) -> None:
        if not self._is_enabled:
            return
        try:
            action(self._store.client())
        except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
            self._is_enabled = False
            self._warn(f"this sweep is not shown as one: {explained(error, self._store)}")
