"""What a store's error means, in one line and without secrets, and what to do about it."""

from cluster.tracking.mlflow_run import TrackingStore

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


def explained(error: Exception, store: TrackingStore) -> str:
    """Return an error as one line that a user understands."""
    text = " ".join(f"MLflow: {type(error).__name__}: {error}".split())
    advice = [advice for sign, advice in _ADVICE.items() if sign in text]
    text = text[:_MAX_LENGTH] + "".join(f"; {item.format(uri=store.uri)}" for item in advice[:1])
    return store.without_secrets(text)
