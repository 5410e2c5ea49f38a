"""Certificates of `reinforce verify` beside the runs that they are about, in MLflow."""

from functools import partial

from reinforce.cluster.background_call import call_within
from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import read_tracking_state, require_run_id
from reinforce.cluster.tracking.mlflow_run import MLflowRun
from reinforce.cluster.tracking.store import explain_error
from reinforce.cluster.tracking.store_of_run import store_of_run
from reinforce.configs.execution import TrackingConfig

_FILE = "certificate.json"
_TIMEOUT_S = 120.0


def store_certificate(run: RunDirectory, config: TrackingConfig, text: str) -> None:
    """Store a certificate as an artifact of the MLflow run that follows a run directory.

    Raises:
        UsageError: None does, or the store does not take it.
    """
    run_id = require_run_id(run)
    store = store_of_run(run, config, read_tracking_state(run.tracking_file))
    store_text = partial(MLflowRun(store, run_id).log_text, text, _FILE)
    try:
        refused = call_within(_TIMEOUT_S, store_text, "MLflow")
    except Exception as error:  # noqa: BLE001  (MLflow's stores raise whatever they like)
        raise UsageError(explain_error(error, store)) from None
    if refused:
        raise UsageError(f"MLflow does not take {refused[0]}")
