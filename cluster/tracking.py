"""The driver's end of tracking: starts the follower, and lets go of it at the end."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

import cluster
from cluster.run_directory import RunDirectory, read_json
from configs.execution import TrackingConfig

_FINISH_PATIENCE_S = 30.0
"""The follower gives up by itself before that, and says so in its log."""

_NICENESS = 10
"""Importing MLflow takes seconds of CPU at the very time when Ray starts; training goes first."""


class Tracking:
    """A follower process, or nothing if tracking is off.

    The pipe to its standard input is the lifeline: the system closes it however this process ends,
    and the follower then sends what is left and gives the MLflow run its status.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._run: RunDirectory | None = None
        if not config.enabled:
            return
        root = str(Path(cluster.__file__).parent.parent)
        python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            # -P: a folder of the user's that is called like one of ours must not be imported.
            [sys.executable, "-P", "-m", "cluster.follower"],
            env={**os.environ, "PYTHONPATH": python_path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Out of the terminal's group: Ctrl-C is for the driver, which then ends the run.
            start_new_session=True,
        )
        with suppress(ProcessLookupError):  # it has ended already; print_link() will tell
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.let_go()
        if self._process:
            try:
                self._process.wait(_FINISH_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def follow(self, run: RunDirectory) -> None:
        """Have the follower send this run directory from now on."""
        if self._run or not (self._process and self._process.stdin):
            return
        self._run = run
        # If it has ended already, print_link() will tell.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{run.path}\n".encode())
            self._process.stdin.flush()

    def run_id(self) -> str | None:
        """Return the id of the MLflow run, if it has been created by now."""
        state = read_json(self._run.tracking_file) if self._run else None
        return str(state["run_id"]) if state else None

    def let_go(self) -> None:
        """Tell the follower that the run is over; it finishes while others clean up."""
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def print_link(self, console: Console) -> None:
        """Print where to see the run, or how to send what could not be sent."""
        if not (self._process and self._run):
            return
        state = read_json(self._run.tracking_file)
        if self._process.returncode != 0 or not state:
            console.print(
                f"MLflow did not get everything ({self._run.tracking_log} says why); "
                f"`reinforce sync {self._run.path}` sends the rest",
                style="yellow",
                soft_wrap=True,
            )
        elif state["is_default_store"]:
            console.print("MLflow: run `mlflow ui` in this directory, then open", soft_wrap=True)
            console.print(state["link"], soft_wrap=True)
        else:
            console.print("MLflow: open, on a server of the store in use,", soft_wrap=True)
            console.print(state["link"], soft_wrap=True)
