"""One MLflow run: found again by its id, written by one process."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.utils.file_utils import path_to_local_sqlite_uri

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.files import open_locked
from reinforce.configs.execution import TrackingConfig

POINTS_PER_REQUEST = 1000
"""MLflow takes no more; what is in one request is stored as a whole or not at all."""

_MAX_VALUE_LENGTH = 6000
"""Characters of a param or tag, so that what is stored is what was sent."""

INCOMPLETE_TAG = "tracking.incomplete"
"""Of a run whose processes are gone before everything was sent: how to send the rest."""

_REFUSALS = (400, 413, 422)
"""What would be refused again, so that trying again is of no use."""

_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_DEFAULT_UI = "http://127.0.0.1:5000"


class Point(NamedTuple):
    """One value of one metric, as MLflow stores it: sent twice, it is stored once."""

    name: str
    value: float
    timestamp_ms: int
    step: int


@dataclass(frozen=True)
class TrackingStore:
    """Where runs are kept.

    Attributes:
        uri: MLflow tracking URI; may hold credentials, so it is neither shown nor stored.
        is_default: It is ``mlflow.db`` in the directory, where ``reinforce ui`` finds it.
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

    @classmethod
    def of_run(cls, config: TrackingConfig, state: Mapping[str, Any]) -> "TrackingStore":
        """Return the store that a run is in.

        Args:
            config: Of the run.
            state: What its ``tracking.json`` holds.

        Raises:
            UsageError: This environment names another one.
        """
        store = cls.of(config, Path(state["directory"]))
        if "run_id" not in state or store._may_hold(state):
            return store
        if state["is_server"]:
            raise UsageError(
                f"this run is at {state['link'].partition('/#/')[0]}; set MLFLOW_TRACKING_URI to "
                "its address, or, if the server has moved, correct `link` in tracking.json"
            )
        if state["is_default_store"]:
            raise UsageError(
                f"this run is in the store {store.directory / 'mlflow.db'}, and "
                "MLFLOW_TRACKING_URI names another one; unset it"
            )
        raise UsageError("this run is in a database; set MLFLOW_TRACKING_URI to its address")

    def _may_hold(self, state: Mapping[str, Any]) -> bool:
        """Return whether a run can be here; one in a database may be reached by a server, too."""
        if state["is_server"]:
            is_same: bool = state["link"].startswith(f"{self._ui}/#/")
            return self.is_server and is_same
        return bool(self.is_default == state["is_default_store"])

    @property
    def is_server(self) -> bool:
        """Whether a server answers at the address, and not a database."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def artifact_location(self) -> str | None:
        """Folder for artifacts of a store without a server; a server has its own."""
        return None if self.is_server else (self.directory / "mlartifacts").as_uri()

    def client(self) -> MlflowClient:
        """Return a client of this store; the first one of a database makes its tables."""
        if self.uri.startswith(_DATABASES):
            self._open_database()
        return MlflowClient(self.uri, registry_uri=self.uri)

    def _open_database(self) -> None:
        """Raise at once what MLflow would raise after ten attempts and 100 s."""
        engine = create_sqlalchemy_engine(self.uri)  # type: ignore[no-untyped-call]
        try:
            if engine.dialect.name == "sqlite" and engine.url.database:
                Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
            engine.connect().close()
        finally:
            engine.dispose()

    def without_secrets(self, text: str) -> str:
        """Return a message without the credentials that the address may hold."""
        parts = urlsplit(self.uri)
        user, separator, _ = parts.netloc.rpartition("@")
        text = text.replace(user + separator, "") if separator else text
        # SQLAlchemy writes the address its own way, with the password replaced or alone.
        return text.replace(parts.password, "***") if parts.password else text

    def link(self, experiment_id: str, run_id: str) -> str:
        """Return the address at which the UI shows a run."""
        path = f"#/experiments/{experiment_id}/runs/{run_id}"
        # Without the workflow type a fresh browser opens the view for language models.
        return f"{self._ui}/{path}?workflowType=machine_learning"

    @property
    def _ui(self) -> str:
        """Address of the UI, without what the one of the store may hold of credentials."""
        if not self.is_server:
            return _DEFAULT_UI
        parts = urlsplit(self.uri)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


class MLflowRun:
    """A handle to one run. Every method may raise; all may be called again with the same effect.

    Args:
        store: Where the run is.
        run_id: Its id.
        on_answer: Called after every request that MLflow has answered.
    """

    def __init__(self, store: TrackingStore, run_id: str, on_answer: Callable[[], None]) -> None:
        self.store = store
        self.client = store.client()
        self.run_id = run_id
        self.on_answer = on_answer

    def latest_steps(self) -> dict[str, int]:
        """Return the last step that is stored of each metric."""
        data = self.client.get_run(self.run_id).data.to_proto()
        self.on_answer()
        return {metric.key: metric.step for metric in data.metrics}

    def reopen(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Mark the run as running, and describe it.

        Params cannot be changed in MLflow: what a resumption changed becomes a tag.

        Raises:
            MlflowException: The run was deleted, or the store does not take it.
        """
        run = self.client.get_run(self.run_id)
        if run.info.lifecycle_stage != "active":
            raise MlflowException(
                f"the run {self.run_id} is deleted; restore it with `mlflow runs restore --run-id "
                f"{self.run_id}`, or remove tracking.json from the run directory to send a new one"
            )
        values = {key: value[:_MAX_VALUE_LENGTH] for key, value in params.items()}
        known = run.data.params
        new = [Param(key, value) for key, value in values.items() if key not in known]
        changed = {
            f"changed.{key}": value
            for key, value in values.items()
            if known.get(key, value) != value
        }
        self.on_answer()
        self.client.update_run(self.run_id, status="RUNNING")
        self.on_answer()
        self.client.log_batch(self.run_id, params=new)
        self.on_answer()
        self.set_tags({**tags, **changed})
        if INCOMPLETE_TAG in run.data.tags:
            self.client.delete_tag(self.run_id, INCOMPLETE_TAG)

    def log_metrics(self, points: Sequence[Point]) -> list[str]:
        """Send up to 1000 points, and leave out those that the store refuses.

        Returns:
            Why each point that was left out was refused.
        """
        try:
            self.client.log_batch(self.run_id, metrics=[Metric(*point) for point in points])
        except MlflowException as error:
            if http_status(error) not in _REFUSALS or not self._is_active():
                raise
            if len(points) == 1:
                return [f"{points[0]}: {error.message}"]
            middle = len(points) // 2
            return [*self.log_metrics(points[:middle]), *self.log_metrics(points[middle:])]
        self.on_answer()
        return []

    def log_artifact(self, path: Path, folder: str | None = None) -> list[str]:
        """Upload a file.

        Returns:
            Why it was refused, if it was: because it is too large, for example.
        """
        try:
            self.client.log_artifact(self.run_id, str(path), folder)
        except Exception as error:
            if http_status(error) not in _REFUSALS:
                raise
            # It may hold the address to which the file was to go.
            return [self.store.without_secrets(f"{path.name}: {error}")]
        self.on_answer()
        return []

    def log_text(self, text: str, file: str) -> None:
        """Upload a text as a file."""
        self.client.log_text(self.run_id, text, file)
        self.on_answer()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; MLflow keeps the last value of each."""
        items = [RunTag(key, value[:_MAX_VALUE_LENGTH]) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=items)
        self.on_answer()

    def finish(self, status: str, ended_ms: int) -> None:
        """Set the status: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status=status, end_time=ended_ms)

    def _is_active(self) -> bool:
        stage: str = self.client.get_run(self.run_id).info.lifecycle_stage
        return stage == "active"


def http_status(error: Exception) -> int | None:
    """Return the status with which a server would say, or has said, an error."""
    if isinstance(error, MlflowException):
        status: int | None = error.get_http_status_code()  # type: ignore[no-untyped-call]
    else:  # uploads raise what the HTTP library raises
        status = getattr(getattr(error, "response", None), "status_code", None)
    return status


_KEY_TAG = "reinforce.key"

_FIRST_START_TIMEOUT_S = 120.0
"""For another process that makes the tables of a store."""

_TAGS = {
    "mlflow.note.content": (
        "Runs of `reinforce train`. The x-axis of every metric is the number of environment steps "
        "learned from. Group the runs by the tag `group` to average over seeds; sort them by "
        "`evaluation/return_best`."
    ),
    "mlflow.experiment.primaryMetric.name": "evaluation/return_mean",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    "mlflow.experimentKind": "custom_model_development",
}


def find_or_create_run(
    store: TrackingStore, experiment: str, name: str, started_ms: int, key: str
) -> dict[str, Any]:
    """Make a run in an experiment, which is made if it does not exist; return where it is.

    Args:
        store: Where.
        experiment: Name of the experiment.
        name: Name of the run.
        started_ms: Unix time in milliseconds.
        key: Unique to the run. An attempt whose answer got lost has made it already: it is found.
    """
    with _first_start_lock(store):
        client = store.client()
        experiment_id = _experiment_id(client, store, experiment)
    found = client.search_runs([experiment_id], f"tags.`{_KEY_TAG}` = '{key}'", max_results=1)
    run = found[0] if found else None
    if run is None:
        run = client.create_run(experiment_id, started_ms, {_KEY_TAG: key}, run_name=name)
    return {
        "run_id": run.info.run_id,
        "experiment_id": experiment_id,
        "link": store.link(experiment_id, run.info.run_id),
    }


def _experiment_id(client: MlflowClient, store: TrackingStore, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            made: str = client.create_experiment(name, store.artifact_location, _TAGS)
        except MlflowException:  # somebody else made it since
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
        else:
            return made
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {name!r} is deleted; restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or choose another --tracking.experiment"
        )
    experiment_id: str = found.experiment_id
    return experiment_id


@contextmanager
def _first_start_lock(store: TrackingStore) -> Iterator[None]:
    """Keep two processes from creating the tables of one empty store at the same time."""
    if store.is_server:  # which makes its tables itself
        yield
        return
    name = f"reinforce-mlflow-{os.getuid()}.lock"
    with open_locked(Path(tempfile.gettempdir()) / name, _FIRST_START_TIMEOUT_S):
        yield
