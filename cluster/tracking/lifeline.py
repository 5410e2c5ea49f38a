"""A process that follows a run: started by the driver, and told by a pipe when the run is over.

The pipe to its standard input is the lifeline: the system closes it however the driver ends.
"""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from reinforce.cluster.self_command import module_command, self_environment
from reinforce.cluster.tracking.provenance import words_after_reinforce
from reinforce.configs.given_objects import UserProgram

_NICENESS = 10
"""Importing what tracks takes seconds of CPU at the very time when Ray starts; training goes first.
"""


class Start(NamedTuple):
    """The first message to a follower.

    Attributes:
        run_directory: What to follow.
        command: Words of the command line that started the driver.
        search_path: Folders in which the driver finds modules.
    """

    run_directory: Path
    command: list[str]
    search_path: list[str]


def start_follower(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start one of our modules as a follower, before it is known what it follows."""
    process = subprocess.Popen(  # noqa: S603  (a program of our own)
        module_command(module, *arguments),
        env=self_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Out of the terminal's group: Ctrl-C is for the driver, which then ends the run.
        start_new_session=True,
    )
    with suppress(ProcessLookupError):  # it has ended already; its exit code will tell
        niceness = os.getpriority(os.PRIO_PROCESS, 0)  # nobody may lower what `nice` set
        os.setpriority(os.PRIO_PROCESS, process.pid, max(niceness, _NICENESS))
    return process


def tell_start(process: "subprocess.Popen[bytes]", run_directory: Path) -> None:
    """Have a follower begin."""
    start = {
        "run_directory": str(run_directory),
        "command": words_after_reinforce(),
        "search_path": UserProgram.of_this_process().search_path,
    }
    if process.stdin:
        with suppress(BrokenPipeError):  # it has ended already; its exit code will tell
            process.stdin.write(json.dumps(start).encode() + b"\n")
            process.stdin.flush()


def tell_end(process: "subprocess.Popen[bytes]") -> None:
    """Tell a follower that the run is over."""
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()


def wait_for_start() -> Start | None:
    """Wait in a follower for what to follow; None if the driver has nothing to follow."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None
    start = json.loads(line)
    return Start(Path(start["run_directory"]), start["command"], start["search_path"])


def is_driver_gone(wait_s: float) -> bool:
    """Wait in a follower up to ``wait_s`` seconds and return whether the run is over."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable) and os.read(sys.stdin.fileno(), 4096) == b""
