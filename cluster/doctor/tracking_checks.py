"""Checks of MLflow's store, without importing MLflow, which would take longer than the checks."""

import base64
import json
import os
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from reinforce.cluster.doctor.finding import Finding, failure, ok, warning, within_timeout
from reinforce.configs.execution import TrackingConfig

_TIMEOUT_S = 5.0
_TAG = "reinforce.doctor"


def check_tracking(config: TrackingConfig) -> Finding:
    """See whether a run could be recorded; a server is asked to note a tag."""
    if not config.enabled:
        return ok("tracking", "is off")
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd()}/mlflow.db"
    kind = urllib.parse.urlsplit(uri).scheme
    if kind in ("http", "https"):
        return _check_server(uri.rstrip("/"), config.experiment)
    if kind == "sqlite":
        return _check_sqlite(Path(uri.removeprefix("sqlite:///")))
    return warning("tracking", f"a store of kind {kind!r} is not looked at", "start a short run")


def _check_sqlite(path: Path) -> Finding:
    folder = path.absolute().parent
    try:
        if path.exists():
            connection = sqlite3.connect(path, timeout=2)
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
            connection.close()
        elif not os.access(folder, os.W_OK):
            return failure("tracking", f"{folder} cannot be written", "set --tracking.uri")
    except sqlite3.Error as error:
        return failure(
            "tracking", f"{path}: {error}", "end what keeps it locked, or set --tracking.uri"
        )
    return ok("tracking", f"{path} can be written")


def _check_server(uri: str, experiment: str) -> Finding:
    shown = urllib.parse.urlsplit(uri)._replace(netloc=uri.rpartition("@")[2].split("/")[0])
    where = shown.geturl() if "@" in uri else uri
    try:
        within_timeout(lambda: _note_tag(uri, experiment), "the server")
    except urllib.error.HTTPError as error:
        advice = {
            401: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            403: "the server must allow this host name: MLFLOW_SERVER_ALLOWED_HOSTS; or you may "
            "not write to this experiment",
        }.get(error.code, "see the server's log")
        return failure("tracking", f"{where} answers HTTP {error.code}", advice)
    except (OSError, ValueError, KeyError) as error:
        return failure(
            "tracking",
            f"{where} does not answer as MLflow does ({error})",
            "start the server or mend the address; runs go on without it, and `reinforce sync` "
            "sends them later",
        )
    return ok("tracking", f"{where} can be written")


def _note_tag(uri: str, experiment: str) -> None:
    _ask(uri, "experiments/set-experiment-tag", _tag(_experiment_id(uri, experiment)))


def _experiment_id(uri: str, name: str) -> str:
    """Return the id of the experiment that a run would use, made now if it is not there."""
    query = urllib.parse.urlencode({"experiment_name": name})
    try:
        found = _ask(uri, f"experiments/get-by-name?{query}")["experiment"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        found = _ask(uri, "experiments/create", {"name": name})
    return str(found["experiment_id"])


def _tag(experiment_id: str) -> dict[str, str]:
    return {"experiment_id": experiment_id, "key": _TAG, "value": "could write"}


def _ask(uri: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    token, user = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("TOKEN", "USERNAME"))
    if user:
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        token64 = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token64}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(  # noqa: S310 - the scheme is http or https
        f"{uri}/api/2.0/mlflow/{path}", json.dumps(body).encode() if body else None, headers
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        result: dict[str, Any] = json.load(answer)
        return result
