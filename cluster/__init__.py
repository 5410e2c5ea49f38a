"""Running: the loop, the backends, the run directory, tracking and the command line.

The top layer, and the only one that knows Ray and MLflow. Both read some environment variables on
import, so these are set here, before any module of this layer imports them. The user's own values
win, but no proxy is used for this machine itself.
"""

if __name__ != "reinforce.cluster":
    raise ImportError("this package is called reinforce.cluster")

import os
import sys
import time

from reinforce.cluster.proxies import keep_loopback_direct

STARTED_S = time.monotonic()
"""Start of the program, as far as this project can see; a command's wall time counts from it."""

_LIBRARY_ENVIRONMENT = {
    # Ray: whoever reaches a cluster can run code on it, so every cluster asks for a token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray: under `uv run` it would upload the current directory and build an environment per worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Ray: a failed ticket is reported by us, once.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow: the follower tries again by itself, and asks first what a lost answer has made.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # MLflow: a policy is a handful of small files.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

RAY_CAME_FIRST = "ray" in sys.modules and "RAY_AUTH_MODE" not in os.environ
"""Ray was imported before it could learn that clusters ask for a token."""

for _name, _value in _LIBRARY_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
keep_loopback_direct()
