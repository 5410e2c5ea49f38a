"""What a store of MLflow holds, for those who only look."""

from pathlib import Path
from urllib.parse import unquote

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cluster.errors import UsageError
from cluster.mlflow_run import TrackingStore


def check_exists(store: TrackingStore) -> None:
    """Raise UsageError if a store that is a file is not there: looking must not make one."""
    scheme, _, path = store.uri.partition(":///")
    if scheme == "sqlite" and not Path(unquote(path)).exists():
        raise UsageError(
            f"there is no store of MLflow at {unquote(path)}; call this where runs were started, "
            "or name another --uri"
        )


def newest_experiment(store: TrackingStore) -> str:
    """Return the id of the experiment that holds the newest run.

    Raises:
        UsageError: There is no run, or the store cannot be read.
    """
    check_exists(store)
    try:
        client = MlflowClient(store.uri, registry_uri=store.uri)
        experiments = [each.experiment_id for each in client.search_experiments()]
        newest = client.search_runs(experiments, order_by=["start_time DESC"], max_results=1)
    except MlflowException as error:
        raise UsageError(store.without_secrets(f"MLflow cannot read the store: {error}")) from None
    if not newest:
        raise UsageError(
            "the store of MLflow holds no run yet; `reinforce train cartpole` makes one, and "
            "`reinforce sync RUN_DIR` sends one that was missed"
        )
    experiment_id: str = newest[0].info.experiment_id
    return experiment_id
