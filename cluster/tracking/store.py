"""What a store of MLflow holds, for those who only look."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from mlflow import MlflowClient
from mlflow.entities import Run

from reinforce.cluster.analysis.comparison import CURVES, SCORE, RunHistory
from reinforce.cluster.errors import UsageError
from reinforce.cluster.tracking.mlflow_run import TrackingStore


def check_exists(store: TrackingStore) -> None:
    """Raise UsageError if a store that is a file is not there: looking must not make one."""
    scheme, _, path = store.uri.partition(":///")
    if scheme == "sqlite" and not Path(unquote(path)).exists():
        raise UsageError(
            f"there is no store of MLflow at {unquote(path)}; call this where runs were started, "
            "or name another --uri"
        )


@contextmanager
def _reading(store: TrackingStore) -> Iterator[MlflowClient]:
    """Yield a client of a store that is there; what it raises becomes UsageError with a way out."""
    check_exists(store)
    try:
        yield store.client()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
        raise UsageError(f"the store cannot be read: {explain_error(error, store)}") from None


def newest_experiment(store: TrackingStore) -> str:
    """Return the id of the experiment that holds the newest run.

    Raises:
        UsageError: There is no run, or the store cannot be read.
    """
    with _reading(store) as client:
        experiments = [each.experiment_id for each in client.search_experiments()]
        newest = client.search_runs(experiments, order_by=["start_time DESC"], max_results=1)
    if not newest:
        raise UsageError(
            "the store of MLflow holds no run yet; `reinforce train cartpole` makes one, and "
            "`reinforce sync RUN_DIR` sends one that was missed"
        )
    experiment_id: str = newest[0].info.experiment_id
    return experiment_id


def histories_of(store: TrackingStore, experiment: str) -> list[RunHistory]:
    """Return the runs of an experiment that have played something, oldest first.

    Raises:
        UsageError: There is no such experiment, it holds no run, or the store cannot be read.
    """
    with _reading(store) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = ", ".join(repr(each.name) for each in client.search_experiments())
            raise UsageError(f"there is no experiment {experiment!r}; there are: {names}")
        runs = _all_runs(client, found.experiment_id)
        histories = [_history(client, run) for run in runs]
    histories = [history for history in histories if any(history.metrics.values())]
    if not histories:
        raise UsageError(f"the experiment {experiment!r} holds no run that has played yet")
    return histories


def _all_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], order_by=["start_time"], page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            return runs


def _history(client: MlflowClient, run: Run) -> RunHistory:
    metrics = {
        name: sorted(
            (float(point.step), point.value)
            for point in client.get_metric_history(run.info.run_id, name)
        )
        for name in (*CURVES, SCORE)
    }
    return RunHistory(run.info.run_name, run.data.params, metrics)


_ADVICE = {
    "out-of-date database schema": "make a copy of the store, then run `mlflow db upgrade {uri}`",
    "unable to open database file": "its folder cannot be written: choose another store with "
    "--tracking.uri or MLFLOW_TRACKING_URI",
    "readonly database": "it cannot be written: choose another store with --tracking.uri or "
    "MLFLOW_TRACKING_URI",
    "FileNotFoundError": "its folder cannot be made: choose another store with --tracking.uri or "
    "MLFLOW_TRACKING_URI",
    "Permission denied": "choose another store with --tracking.uri or MLFLOW_TRACKING_URI",
    "No module named 'psycopg": "PostgreSQL needs a driver: `pip install psycopg2-binary`, and an "
    "address that begins with postgresql+psycopg2://",
    "mlflow-artifacts URI": "a server made this experiment and keeps its files: give the server's "
    "address, or choose another --tracking.experiment",
    "Run with id=": "the store does not have the run: set MLFLOW_TRACKING_URI to the one that has, "
    "or remove tracking.json from the run directory to send a new one",
    "Connection refused": "no server listens there: start it, or see MLFLOW_TRACKING_URI",
    "Invalid Host header": "the server does not know the name it was called by: see "
    "MLFLOW_SERVER_ALLOWED_HOSTS",
}
_MAX_LENGTH = 600


def explain_error(error: Exception, store: TrackingStore) -> str:
    """Return an error as one line that a user understands."""
    text = " ".join(f"MLflow: {type(error).__name__}: {error}".split())
    advice = [advice for sign, advice in _ADVICE.items() if sign in text]
    text = text[:_MAX_LENGTH] + "".join(f"; {item.format(uri=store.uri)}" for item in advice[:1])
    return store.without_secrets(text)
