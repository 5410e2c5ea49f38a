"""A real MLflow server as a process of its own, for tests that kill, freeze and restart it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

from free_port import free_port


class MLflowServer:
    """``mlflow server`` with one worker on loopback, on a store that outlives it."""

    def __init__(self, folder, store_uri=None):
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.store_uri = store_uri or f"sqlite:///{folder}/server.db"
        self._process = None

    def start(self):
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [
                    *[sys.executable, "-m", "mlflow", "server", "--workers", "1"],
                    *["--host", "127.0.0.1", "--port", str(self.port)],
                    *["--artifacts-destination", str(self.folder / "artifacts")],
                ],
                env={
                    **os.environ,
                    "MLFLOW_BACKEND_STORE_URI": self.store_uri,
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).read()
            except OSError:
                assert self._process.poll() is None, (self.folder / "server.log").read_text()
                assert time.monotonic() < deadline, "the MLflow server did not start"
                time.sleep(0.2)
            else:
                return self

    def signal(self, number):
        """Send a signal to the server and to its workers."""
        os.killpg(self._process.pid, number)

    def kill(self):
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def running_server(folder, empty_store):
    """A server on a copy of a store, in this folder."""
    (folder / "server.db").write_bytes(empty_store.read_bytes())
    server = MLflowServer(folder)
    try:
        yield server.start()
    finally:
        server.kill()
