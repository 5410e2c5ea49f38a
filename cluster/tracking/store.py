"""A store of MLflow: which one a run is in, what it holds, and what its errors mean.

MLflow itself, which takes seconds, is imported by the first client only.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import pathname2url

from reinforce.cluster.analysis.comparison import (
    CURVES,
    SCORE,
    TRAINING_RETURN,
    RunHistory,
    told_apart,
)
from reinforce.cluster.errors import UsageError
from reinforce.cluster.proxies import proxy_note
from reinforce.cluster.run_store.tracking_state import sqlite_file
from reinforce.cluster.tracking.provenance import without_user
from reinforce.cluster.tracking.shown_metrics import journal_name, shown_name
from reinforce.cluster.tracking.unfit_store import (
    advice_for_half_made_store,
    advice_for_newer_store,
)
from reinforce.cluster.tracking.views import RUNS, tag_of_view
from reinforce.configs.execution import TrackingConfig

CHANGED = "changed."
"""How tags begin that hold what a resumption changed: the params of a run cannot be overwritten."""

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_WITHOUT_SCHEME = ("databricks", "databricks-uc", "uc")
_DEFAULT_UI = "http://127.0.0.1:5000"

ARTIFACTS = "mlartifacts"
"""Folder beside a SQLite store."""

_MAX_ERROR_LENGTH = 600
_CHOOSE_ANOTHER = "choose another store with tracking.uri or MLFLOW_TRACKING_URI"
_ADVICE = {
    "HTTP 401": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "Invalid Host header": "the server must allow this host name: MLFLOW_SERVER_ALLOWED_HOSTS",
    "HTTP 403": "the server must allow this host name: MLFLOW_SERVER_ALLOWED_HOSTS; or you may not "
    "write to this experiment",
    "out-of-date database schema": "make a copy of the store, then run `mlflow db upgrade {uri}`",
    "unable to open database file": f"its folder cannot be written: {_CHOOSE_ANOTHER}",
    "readonly database": f"it cannot be written: {_CHOOSE_ANOTHER}",
    "database is locked": f"end what keeps it locked, or {_CHOOSE_ANOTHER}",
    "FileNotFoundError": f"its folder cannot be made: {_CHOOSE_ANOTHER}",
    "Permission denied": _CHOOSE_ANOTHER,
    "No module named 'psycopg": "PostgreSQL needs a driver: `pip install psycopg2-binary`, and an "
    "address that begins with postgresql+psycopg2://",
    "mlflow-artifacts URI": "a server made this experiment and keeps its files: give the server's "
    "address, or choose another tracking.experiment",
    "Run with id=": "the store does not have the run: set MLFLOW_TRACKING_URI to the one that has, "
    "or, to send it as a new one, remove tracking.json from the run directory, then `reinforce "
    "sync` it",
    "No Experiment with id": "correct or unset MLFLOW_EXPERIMENT_ID",
    "absolute path within the Databricks": "name one, such as /Users/YOU/reinforce, with "
    "--tracking.experiment or MLFLOW_EXPERIMENT_NAME",
    "No module named": "install the package that it names, with pip",
    "Unable to locate credentials": "give this machine those of the place where artifacts are kept",
    "No space left": "make room there",
    "disk is full": "make room there",
    "CERTIFICATE_VERIFY_FAILED": "name its authority's certificate in "
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "Connection refused": "no server listens there: start it, or correct the address",
    "Failed to resolve": "correct the address",
    "has not answered": "start the server, or correct the address",
    "not in a valid JSON format": "that is not an MLflow server: correct the address",
}
"""What to do, by what stands in an error; the first that fits."""

_MADE_TWICE = ("already exists [SQL: CREATE", "(sqlite3.OperationalError) duplicate column name")
"""What SQLite says when MLflow makes again what an attempt that broke off has made."""


@dataclass(frozen=True)
class TrackingStore:
    """Where runs are kept.

    Attributes:
        uri: MLflow tracking URI; may hold credentials, so it is neither shown nor stored.
        is_default: It is ``mlflow.db`` in the directory, where ``reinforce ui`` finds it.
        directory: Where it is asked for; of a file with a relative address, the folder it is in.
    """

    uri: str
    is_default: bool
    directory: Path

    @classmethod
    def of(cls, config: TrackingConfig, directory: Path) -> "TrackingStore":
        """Return the store that a configuration, the environment or the default names."""
        uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
        file = sqlite_file(uri, directory)
        if file and not (uri and _is_absolute(uri)):
            return cls.in_file(file.absolute(), is_default=not uri)
        return cls(str(uri), is_default=False, directory=directory)

    @classmethod
    def in_file(cls, file: Path, *, is_default: bool) -> "TrackingStore":
        """Return the store that is a SQLite file, whose path is absolute."""
        uri = f"sqlite:///{pathname2url(str(file))}"
        return cls(uri, is_default=is_default, directory=file.parent)

    @property
    def kind(self) -> str:
        """What MLflow chooses its store by: ``https``, ``databricks``; empty for a folder."""
        return urlsplit(self.uri).scheme or (self.uri if self.uri in _WITHOUT_SCHEME else "")

    @property
    def is_http(self) -> bool:
        """Whether MLflow's own server answers at the address, and shows its pages there."""
        return self.kind in ("http", "https")

    @property
    def is_server(self) -> bool:
        """Whether somebody else keeps the store: not a database, nor a folder of this machine."""
        return not (self.uri.startswith(_DATABASES) or self.kind in ("", "file"))

    @property
    def sqlite_file(self) -> Path | None:
        """The file that the store is, if it is one."""
        return sqlite_file(self.uri, self.directory)

    @property
    def artifact_location(self) -> str | None:
        """Folder for artifacts, beside a store that is a file; everything else has its own."""
        file = self.sqlite_file
        return (file.absolute().parent / ARTIFACTS).as_uri() if file else None

    def client(self) -> "MlflowClient":
        """Return a client of this store; the first one of a database makes its tables."""
        from mlflow import MlflowClient

        if self.uri.startswith(_DATABASES):
            self._open_database()
        # A store of another kind, such as databricks, may keep its models elsewhere.
        keeps_models = self.is_http or not self.is_server
        return MlflowClient(self.uri, self.uri if keeps_models else None)

    def _open_database(self) -> None:
        """Raise at once what MLflow would raise after ten attempts and 100 s."""
        from mlflow.store.db.utils import create_sqlalchemy_engine

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
        """Return the address at which the UI shows a run; empty if nobody knows it."""
        if self.kind == "databricks":
            host = self._workspace()
            return f"{host}/ml/experiments/{experiment_id}/runs/{run_id}" if host else ""
        if self.is_server and not self.is_http:
            return ""
        path = f"#/experiments/{experiment_id}/runs/{run_id}"
        # Without the workflow type a fresh browser opens the view for language models.
        return f"{self.ui}/{path}?workflowType=machine_learning"

    def link_to_runs(self, experiment_id: str, view_id: str = "") -> str:
        """Return the address of the list of runs, in a view if one is named; empty as above."""
        link = self.link(experiment_id, "").replace("/runs/?", "/runs?").removesuffix("/runs/")
        return f"{link}&viewStateShareKey={view_id}" if view_id and "?" in link else link

    def _workspace(self) -> str:
        """Return the address of a workspace of Databricks, as MLflow finds it."""
        from mlflow.utils import databricks_utils

        known = databricks_utils.get_workspace_url()  # type: ignore[no-untyped-call]
        host = known or databricks_utils.get_databricks_host_creds(self.uri).host  # type: ignore[no-untyped-call]
        return str(host or "").rstrip("/")

    @property
    def ui(self) -> str:
        """Address of MLflow's pages, without what that of the store may hold of credentials."""
        return without_user(self.uri).rstrip("/") if self.is_http else _DEFAULT_UI


def _is_absolute(uri: str) -> bool:
    return uri.partition(":///")[2].startswith("/")


def check_exists(store: TrackingStore) -> None:
    """Raise UsageError if a store that is a file is missing: looking must not make one."""
    if store.sqlite_file and not store.sqlite_file.exists():
        raise UsageError(
            f"there is no store of MLflow at {store.sqlite_file}; call this where runs were "
            "started, or name another --uri"
        )


@contextmanager
def reading(store: TrackingStore) -> Iterator["MlflowClient"]:
    """Yield a client of a store that is there; what it raises becomes UsageError with a way out."""
    check_exists(store)
    try:
        yield store.client()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
        raise UsageError(f"the store cannot be read: {explain_error(error, store)}") from None


def require_readable(store: TrackingStore) -> None:
    """Raise UsageError, with a way out, if the installed MLflow cannot read a store."""
    with reading(store):
        pass


def newest_runs(store: TrackingStore) -> str:
    """Return the address of the list of runs that holds the newest one; empty if nobody knows it.

    Raises:
        UsageError: There is no run, or the store cannot be read.
    """
    with reading(store) as client:
        experiments = {each.experiment_id: each.tags for each in client.search_experiments()}
        newest = client.search_runs([*experiments], order_by=["start_time DESC"], max_results=1)
    if not newest:
        raise UsageError(
            "the store of MLflow holds no run yet; `reinforce train cartpole` makes one, and "
            "`reinforce sync RUN_DIR` sends one that was missed"
        )
    experiment_id = newest[0].info.experiment_id
    is_saved = tag_of_view(RUNS) in experiments[experiment_id]
    return store.link_to_runs(experiment_id, RUNS if is_saved else "")


def histories_of(
    store: TrackingStore, experiment: str, metric: str = TRAINING_RETURN
) -> list[RunHistory]:
    """Return the runs of an experiment that have played something, oldest first.

    Args:
        store: Where it is.
        experiment: Its name.
        metric: What is read besides those that are compared.

    Raises:
        UsageError: There is no such experiment, it holds no run, or the store cannot be read.
    """
    with reading(store) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = ", ".join(repr(each.name) for each in client.search_experiments())
            raise UsageError(f"there is no experiment {experiment!r}; there are: {names}")
        histories = [_history(client, run, metric) for run in _runs_of(client, found.experiment_id)]
    histories = [history for history in histories if any(history.metrics.values())]
    if not histories:
        raise UsageError(f"the experiment {experiment!r} holds no run that has played yet")
    return told_apart(histories)


def _runs_of(client: "MlflowClient", experiment_id: str) -> Iterator["Run"]:
    """Yield the runs of an experiment, oldest first."""
    token: str | None = ""
    while token is not None:
        page = client.search_runs([experiment_id], order_by=["start_time"], page_token=token)
        yield from page
        token = page.token or None


def _history(client: "MlflowClient", run: "Run", metric: str) -> RunHistory:
    def points(name: str) -> list[tuple[float, float]]:
        found = client.get_metric_history(run.info.run_id, name)
        return sorted((float(point.step), point.value) for point in found)

    # Runs of version 0.1 have the names of the journal, and their result is a metric.
    metrics = {name: points(shown_name(name)) or points(name) for name in {*CURVES, SCORE, metric}}
    if result := run.data.tags.get("return_mean"):
        metrics[SCORE] = [(run.data.metrics.get("progress/environment_steps", 0.0), float(result))]
    changed = {
        key.removeprefix(CHANGED): value
        for key, value in run.data.tags.items()
        if key.startswith(CHANGED)
    }
    recorded = frozenset(map(journal_name, run.data.metrics))
    num_steps = int(run.data.metrics.get("progress/environment_steps", 0))
    settings = {**run.data.params, **changed}
    info = run.info
    return RunHistory(info.run_name, settings, metrics, recorded, num_steps, info.run_id)


def http_status(error: Exception) -> int | None:
    """Return the status with which a server would say, or has said, an error."""
    status: int | None
    if hasattr(error, "get_http_status_code"):
        status = error.get_http_status_code()
    else:  # uploads raise what the HTTP library raises
        status = getattr(getattr(error, "response", None), "status_code", None)
    return status


def diagnose(error: Exception, store: TrackingStore) -> tuple[str, str]:
    """Return an error as one line without secrets, and what to do about it, if that is known."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    signs = f"{text} HTTP {http_status(error)}"
    advice = next((advice for sign, advice in _ADVICE.items() if sign in signs), "")
    advice = store.without_secrets(advice.format(uri=store.uri))
    if "out-of-date database schema" in text:
        advice = advice_for_newer_store(text, store.sqlite_file) or advice
    if store.sqlite_file and any(sign in text for sign in _MADE_TWICE):
        advice = advice_for_half_made_store(store.sqlite_file)
    note = proxy_note(store.uri) if store.is_http and _is_of_the_way(error) else ""
    if note:
        is_the_proxy = "ProxyError" in text or "SOCKS" in text
        advice = note if is_the_proxy or not advice else f"{advice}; {note}"
    if " (Caused by " in text:
        text = text.rpartition(" (Caused by ")[2][:-1]
    text = text.partition(" [SQL: ")[0]
    return store.without_secrets(text)[:_MAX_ERROR_LENGTH], advice


def _is_of_the_way(error: Exception) -> bool:
    """Return whether no answer came, or one that is not MLflow's own: it may be a proxy's."""
    is_of_requests = isinstance(error, OSError) and error.errno is None
    return is_of_requests or str(error).startswith("API request to ")


def explain_error(error: Exception, store: TrackingStore) -> str:
    """Return an error and the way out of it as one line that a user understands."""
    return "MLflow: " + "; ".join(filter(None, diagnose(error, store)))
