"""MLflow's server as a process of its own, on loopback, with all that it starts itself."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reinforce.cluster.errors import ServerError, UsageError
from reinforce.cluster.self_command import module_command

HOST = "127.0.0.1"
_USUAL_PORT = 5000
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 10.0


@contextmanager
def mlflow_server(
    uri: str, directory: Path, port: int, is_wanted: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a server on a store, run in a directory; afterwards all its processes are gone.

    ``is_wanted`` is asked while it starts.

    Raises:
        ServerError: It ended, or does not answer.
    """
    settings = {
        "MLFLOW_BACKEND_STORE_URI": uri,  # may hold credentials: here `ps` does not show them
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    options = ["--host", HOST, "--port", str(port), "--workers", "1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603  (words of our own)
            module_command("mlflow", "server", *options),
            env=os.environ | settings,
            cwd=directory,
            stdout=log,
            stderr=log,
            # A group of its own, which is ended as a whole.
            start_new_session=True,
        )
        try:
            _await_answer(process, port, is_wanted)
            yield process
        except TimeoutError as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            raise ServerError("\n".join([str(error), *lines[-5:]])) from None
        finally:
            _end_group(process)


def free_port(wanted: int | None) -> int:
    """Return the wanted port; without a wish MLflow's usual one, or any if that is taken.

    Raises:
        UsageError: The wanted one is taken or not allowed.
    """
    for port in (_USUAL_PORT, 0) if wanted is None else (wanted,):
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
                free: int = probe.getsockname()[1]
                return free
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    raise UsageError(f"--port {wanted} cannot be used ({reason}); leave it out for a free one")


def _await_answer(
    process: subprocess.Popen[bytes], port: int, is_wanted: Callable[[], bool]
) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while is_wanted():
        if process.poll() is not None:
            raise TimeoutError(f"MLflow's server ended with {process.returncode}:")
        url = f"http://{HOST}:{port}/health"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"MLflow's server does not answer in {_START_TIMEOUT_S:.0f} s:")
        time.sleep(0.1)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT_S)
    # Also what outlived its leader.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
