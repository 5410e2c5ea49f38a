"""One MLflow run: created once, found again by its id, written by one process."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import path_to_local_sqlite_uri

from configs.execution import TrackingConfig

_METRICS_PER_REQUEST = 1000
_DEFAULT_UI = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class TrackingStore:
    """Where runs are kept.

    Attributes:
        uri: MLflow tracking URI; may hold credentials, so it is neither shown nor stored.
        is_default: It is ``mlflow.db`` in the directory, where ``mlflow ui`` finds it.
        directory: Where the run was started.
    """

    uri: str
    is_default: bool
    directory: Path

    @classmethod
    def of(cls, config: TrackingConfig, directory: Path) -> "TrackingStore":
        """Return the store that a configuration, the environment or the default names."""
        uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri:
            return cls(uri, is_default=False, directory=directory)
        default = path_to_local_sqlite_uri(str(directory / "mlflow.db"))  # type: ignore[no-untyped-call]
        return cls(default, is_default=True, directory=directory)

    @property
    def artifact_location(self) -> str | None:
        """Folder for artifacts of a store that is a local file; a server has its own."""
        if not self.uri.startswith("sqlite:"):
            return None
        return (self.directory / "mlartifacts").as_uri()

    def without_secrets(self, text: str) -> str:
        """Return a message without the credentials that the address may hold."""
        netloc = urlsplit(self.uri).netloc
        user, separator, _ = netloc.rpartition("@")
        return text.replace(user + separator, "") if separator else text

    def link(self, experiment_id: str, run_id: str) -> str:
        """Return the address at which the UI shows a run."""
        base = _DEFAULT_UI
        if self.uri.startswith(("http://", "https://")):
            parts = urlsplit(self.uri)
            host = parts.netloc.rpartition("@")[2]
            base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        path = f"#/experiments/{experiment_id}/runs/{run_id}"
        # Without the workflow type a fresh browser opens the view for language models.
        return f"{base}/{path}?workflowType=machine_learning"


def create_run(store: TrackingStore, experiment: str, name: str, started_ms: int) -> dict[str, Any]:
    """Make a run in an experiment, which is made if it does not exist; return where it is."""
    with _first_start_lock(store):
        client = MlflowClient(store.uri, registry_uri=store.uri)
        experiment_id = _experiment_id(client, store, experiment)
    run_id = client.create_run(experiment_id, run_name=name, start_time=started_ms).info.run_id
    return {
        "run_id": run_id,
        "experiment_id": experiment_id,
        "link": store.link(experiment_id, run_id),
        "is_default_store": store.is_default,
        "directory": str(store.directory),
    }


class MLflowRun:
    """A handle to one run. Every method may raise; all may be called again with the same effect."""

    def __init__(self, store: TrackingStore, run_id: str) -> None:
        self._client = MlflowClient(store.uri, registry_uri=store.uri)
        self._run_id = run_id

    def reopen(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Mark the run as running, and describe it."""
        self._client.update_run(self._run_id, status="RUNNING")
        items = [Param(key, value) for key, value in params.items()]
        self._client.log_batch(
            self._run_id, params=items, tags=[RunTag(key, value) for key, value in tags.items()]
        )

    def log_metrics(self, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        """Send (name, value, timestamp in ms, step); sending one twice stores it once."""
        for start in range(0, len(metrics), _METRICS_PER_REQUEST):
            part = metrics[start : start + _METRICS_PER_REQUEST]
            self._client.log_batch(self._run_id, metrics=[Metric(*item) for item in part])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file."""
        self._client.log_artifact(self._run_id, str(path), folder)

    def finish(self, status: str, tags: Mapping[str, str], ended_ms: int) -> None:
        """Set the last tags and the status: FINISHED, FAILED or KILLED."""
        self._client.log_batch(
            self._run_id, tags=[RunTag(key, value) for key, value in tags.items()]
        )
        self._client.set_terminated(self._run_id, status=status, end_time=ended_ms)


def _experiment_id(client: MlflowClient, store: TrackingStore, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            made: str = client.create_experiment(name, artifact_location=store.artifact_location)
        except MlflowException:  # somebody else made it since
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
        else:
            return made
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {name!r} is deleted; restore it, or choose another tracking.experiment"
        )
    experiment_id: str = found.experiment_id
    return experiment_id


@contextmanager
def _first_start_lock(store: TrackingStore) -> Iterator[None]:
    """Keep two processes from creating the tables of one empty SQLite store at the same time."""
    if not store.uri.startswith("sqlite:"):
        yield
        return
    name = f"reinforce-mlflow-{os.getuid()}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
