"""One MLflow run: made once, found again by its id, written by one process."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, cast

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from reinforce.cluster.files import open_locked, write_json
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.tracking.artifacts import require_place
from reinforce.cluster.tracking.experiment import find_or_create_experiment, given_run
from reinforce.cluster.tracking.new_store import make_store
from reinforce.cluster.tracking.run_description import RESULT_TAGS
from reinforce.cluster.tracking.store import CHANGED, TrackingStore, http_status
from reinforce.cluster.tracking.store_of_run import store_of_run
from reinforce.cluster.tracking.unfit_store import lock_of
from reinforce.configs.execution import TrackingConfig

POINTS_PER_REQUEST = 1000
"""MLflow takes no more; what is in one request is stored as a whole or not at all."""

INCOMPLETE_TAG = "tracking.incomplete"
"""Tag of a run whose processes ended before everything was sent: how to send the rest."""

UNSTORED_TAG = "tracking.num_unstored"
"""Tag of a run: how many of its artifacts could not be stored."""

_KEY_TAG = "reinforce.key"

_MAX_VALUE_LENGTH = 6000
"""Characters of a param or tag, so that what is stored is what was sent."""

_REFUSALS = (400, 413, 422)
"""What would be refused again, so that trying again is of no use."""

_WORK_REPORT_S = 1.0
_MAX_WORK_S = 120.0
"""For a policy to be written and tried, with Torch to be imported on a machine that is busy."""

_FIRST_START_TIMEOUT_S = 120.0
"""For another process that makes the tables of a store."""


def open_state(run: RunDirectory, config: TrackingConfig) -> tuple[TrackingStore, dict[str, Any]]:
    """Return the store of a run and the content of its ``tracking.json``, without asking MLflow.

    Raises:
        UsageError: The run is in another store than the environment names, or in none.
    """
    new = {"key": uuid.uuid4().hex, "directory": str(Path.cwd())}
    known = read_tracking_state(run.tracking_file)
    state = {**new, **known}
    store = store_of_run(run, config, state)
    state["run_directory"] = str(run.path.resolve())
    if "run_id" not in state:  # afterwards it stays where it was made
        state |= {
            "directory": str(store.directory),
            "is_default_store": store.is_default,
            "is_server": store.is_server,
            "kind": store.kind,
        }
    if state != known:
        write_json(run.tracking_file, state)
    return store, state


def find_or_create_run(
    store: TrackingStore,
    state: dict[str, Any],
    file: Path,
    config: TrackingConfig,
    started_ms: int,
) -> None:
    """Find or make the run of a ``tracking.json``, named as its folder, and note there where it is.

    An attempt whose answer got lost may have made the run already: its key finds it. Else it is the
    one that ``MLFLOW_RUN_ID`` names, unless that is another one's: then it is shown below it.

    Raises:
        MlflowException: The environment names what the store does not have, or it does not answer.
    """
    if "run_id" in state:
        return
    with _alone_in(store.sqlite_file):
        if store.sqlite_file:
            make_store(store.sqlite_file)
        client = store.client()
        given = given_run(client, config)
        experiment_id = (
            given.info.experiment_id if given else find_or_create_experiment(client, store, config)
        )
    key = {_KEY_TAG: state["key"]}
    query = f"tags.`{_KEY_TAG}` = '{state['key']}'"
    found = client.search_runs([experiment_id], query, max_results=1)
    if found:
        run_id = found[0].info.run_id
    elif given and _KEY_TAG not in given.data.tags:
        run_id = given.info.run_id
        client.set_tag(run_id, *next(iter(key.items())))
    else:
        parent = {"mlflow.parentRunId": given.info.run_id} if given else {}
        name = file.parent.name
        created = client.create_run(experiment_id, started_ms, {**key, **parent}, run_name=name)
        run_id = created.info.run_id
    state |= {
        "run_id": run_id,
        "experiment_id": experiment_id,
        "link": store.link(experiment_id, run_id),
    }
    write_json(file, state)


@contextmanager
def _alone_in(sqlite_file: Path | None) -> Iterator[None]:
    """Context in which no other process makes the tables of the same SQLite file.

    Other databases create tables in a transaction: the slower process is refused and tries again.
    """
    if sqlite_file is None:
        yield
        return
    sqlite_file.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(sqlite_file)
    with closing(open_locked(lock, _FIRST_START_TIMEOUT_S, mode=0o600)):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class Point(NamedTuple):
    """One value of one metric, as MLflow stores it: sent twice, it is stored once."""

    name: str
    value: float
    timestamp_ms: int
    step: int


class MLflowRun:
    """A handle to one run. Every method may raise; all may be called again with the same effect.

    ``on_answer`` is called whenever MLflow has answered.
    """

    def __init__(
        self, store: TrackingStore, run_id: str, on_answer: Callable[[], None] = lambda: None
    ) -> None:
        self.store = store
        self._on_answer = on_answer
        self.client = cast("MlflowClient", _ReportingClient(store.client(), on_answer))
        self.run_id = run_id
        self._artifact_uri: str | None = None

    @contextmanager
    def working(self, at_most_s: float = _MAX_WORK_S) -> Iterator[None]:
        """Context of work on this machine that takes a while: nobody need wonder about MLflow."""
        is_over, deadline_s = Event(), time.monotonic() + at_most_s

        def report() -> None:
            while not is_over.wait(_WORK_REPORT_S) and time.monotonic() < deadline_s:
                self._on_answer()

        reporter = Thread(target=report, name="working", daemon=True)
        reporter.start()
        try:
            yield
        finally:
            is_over.set()
            reporter.join()

    def latest_steps(self) -> dict[str, int]:
        """Return the last step that is stored of each metric."""
        metrics = self.client.get_run(self.run_id).data.to_proto().metrics
        return {metric.key: metric.step for metric in metrics}

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
        known, tags_before = run.data.params, run.data.tags
        new = [Param(key, value) for key, value in values.items() if key not in known]
        changed = {
            f"{CHANGED}{key}": value
            for key, value in values.items()
            if known.get(key, value) != value or f"{CHANGED}{key}" in tags_before
        }
        self.client.update_run(self.run_id, status="RUNNING")
        self.client.log_batch(self.run_id, params=new)
        # An MLflow Project has made the run, and said who, from where and by what.
        kept = {key for key in tags if key in tags_before and key.startswith("mlflow.")}
        self.set_tags({**tags, **changed, **{key: tags_before[key] for key in kept}})
        for tag in {INCOMPLETE_TAG, UNSTORED_TAG, *RESULT_TAGS} & tags_before.keys():
            self.client.delete_tag(self.run_id, tag)

    def log_metrics(self, points: Sequence[Point]) -> list[str]:
        """Send up to 1000 points; return why each was refused that the store does not take."""
        try:
            self.client.log_batch(self.run_id, metrics=[Metric(*point) for point in points])
        except MlflowException as error:
            if http_status(error) not in _REFUSALS or not self._is_active():
                raise
            if len(points) == 1:
                return [f"{points[0]}: {error.message}"]
            middle = len(points) // 2
            return [*self.log_metrics(points[:middle]), *self.log_metrics(points[middle:])]
        return []

    def log_artifact(self, path: Path, folder: str | None = None) -> list[str]:
        """Upload a file; return why it was refused, if it was: too large, for example."""
        return self._upload(path.name, self.client.log_artifact, str(path), folder)

    def log_text(self, text: str, file: str) -> list[str]:
        """Upload a text as a file; return why it was refused, if it was."""
        return self._upload(file, self.client.log_text, text, file)

    def _upload(self, name: str, log: Callable[..., None], *what: str | None) -> list[str]:
        self.require_place()
        try:
            # A place that hangs is not MLflow, which has the status still to come.
            with self.working():
                log(self.run_id, *what)
        except Exception as error:
            if http_status(error) not in _REFUSALS:
                raise
            return [f"{name}: {error}"]
        return []

    def require_place(self) -> None:
        """Raise FileNotFoundError if the folder of the artifacts was moved away."""
        if self._artifact_uri is None:
            self._artifact_uri = self.client.get_run(self.run_id).info.artifact_uri
        require_place(self._artifact_uri, self.store)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; MLflow keeps the last value of each."""
        items = [RunTag(key, value[:_MAX_VALUE_LENGTH]) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=items)

    def beat(self, tags: Mapping[str, str] | None = None) -> None:
        """Say that the run is alive now, and set tags along with it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.set_tags({"heartbeat": now, **(tags or {})})

    def finish(self, status: str, ended_ms: int) -> None:
        """Set the status: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status=status, end_time=ended_ms)

    def _is_active(self) -> bool:
        return bool(self.client.get_run(self.run_id).info.lifecycle_stage == "active")


class _ReportingClient:
    """MLflow's client, which reports every call that came back."""

    def __init__(self, client: MlflowClient, on_answer: Callable[[], None]) -> None:
        self._client = client
        self._on_answer = on_answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._on_answer()
            return result

        return call
